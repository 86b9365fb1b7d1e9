//! A broker that is killed, paused, or has no memory left.

use std::ops::Range;

use stack::Stack;
use tokio::task::spawn_blocking;

use crate::{Fixture, Note, Notes, PROMPT, eventually};

async fn enqueue(fixture: &Fixture, numbers: Range<usize>) {
    for number in numbers {
        let note = Note::new(&format!("note-{number}"));
        fixture.queue.enqueue(&note).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_while_rabbitmq_is_away() {
    let stack = spawn_blocking(|| Stack::start(&["rabbitmq"]))
        .await
        .unwrap();
    let fixture = Fixture::on_broker(&stack.get("RABBITMQ_URL")).await;
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));

    enqueue(&fixture, 0..100).await;
    eventually("some are run", async || notes.jobs() > 10).await;
    stack.signal("rabbitmq/broker", "KILL");
    enqueue(&fixture, 100..150).await;
    let stack = spawn_blocking(move || {
        stack.up();
        stack
    });
    let stack = stack.await.unwrap();
    eventually("all are run after it was killed", async || {
        notes.jobs() == 150
    })
    .await;

    stack.signal("rabbitmq/broker", "STOP");
    enqueue(&fixture, 150..200).await;
    // It is given up, and what was on its way waits in the tables.
    let waiting = async || {
        let waiting = fixture.queue.store().waiting(protocol::Timestamp::now());
        let waiting = waiting.await.unwrap();
        waiting.iter().map(|kind| kind.due).sum::<u64>() == 50
    };
    eventually("they wait", waiting).await;
    stack.signal("rabbitmq/broker", "CONT");
    eventually("all are run after it was paused", async || {
        notes.jobs() == 200
    })
    .await;

    stack.rabbitmqctl(&["set_vm_memory_high_watermark", "0.0000001"]);
    enqueue(&fixture, 200..250).await;
    eventually("they wait", waiting).await;
    stack.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "512MB"]);
    eventually("all are run with memory", async || notes.jobs() == 250).await;
    fixture.drained().await;
    running.stop().await;
}
