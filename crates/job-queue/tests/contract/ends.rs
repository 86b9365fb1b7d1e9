//! Ends of the process that runs jobs.

use std::{sync::Arc, time::Duration};

use job_queue::{Handler, KindSettings};
use tokio::sync::Semaphore;

use crate::{Fixture, Note, Notes, PROMPT, eventually, fixture::handlers};

on_each!(
    a_stop_waits_for_runs_and_gives_back_the_others,
    a_job_whose_process_was_killed_is_run_again,
    many_processes_run_each_job_once,
);

/// Waits for a permit after its note.
fn gated(notes: &Notes, gate: &Arc<Semaphore>, settings: KindSettings) -> job_queue::Handlers {
    let (notes, gate) = (notes.clone(), gate.clone());
    handlers(Handler::new(settings, move |_: Note, attempt| {
        let (notes, gate) = (notes.clone(), gate.clone());
        async move {
            notes.add(attempt);
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    }))
}

async fn a_stop_waits_for_runs_and_gives_back_the_others(fixture: Fixture) {
    let (notes, gate) = (Notes::default(), Arc::new(Semaphore::new(0)));
    let running = fixture.run(gated(&notes, &gate, PROMPT));
    for id in ["ends", "hangs"] {
        fixture.queue.enqueue(&Note::new(id)).await.unwrap();
    }
    eventually("both run", async || notes.jobs() == 2).await;
    gate.add_permits(1);
    eventually("one ends", async || fixture.left().await == 1).await;
    running.stop().await;
    let after = Notes::default();
    let running = fixture.run(after.handler(PROMPT, |_| Ok(())));
    eventually("it is run", async || after.jobs() == 1).await;
    fixture.drained().await;
    assert_eq!(after.jobs(), 1);
    let again = [after.attempts("ends"), after.attempts("hangs")].concat();
    assert_eq!(
        again[0].number, 1,
        "what was given back doesn't count as a run"
    );
    running.stop().await;
}

async fn a_job_whose_process_was_killed_is_run_again(fixture: Fixture) {
    let (notes, gate) = (Notes::default(), Arc::new(Semaphore::new(0)));
    // In a fleet another process waits until the claim has ended.
    let settings = KindSettings {
        time_limit: Duration::from_millis(100),
        ..PROMPT
    };
    let running = fixture.run(gated(&notes, &gate, settings));
    fixture.queue.enqueue(&Note::new("cut off")).await.unwrap();
    eventually("it runs", async || notes.of("cut off") == 1).await;
    running.kill().await;
    let after = Notes::default();
    let running = fixture.run(after.handler(settings, |_| Ok(())));
    eventually("it is run again", async || after.of("cut off") == 1).await;
    assert_eq!(after.attempts("cut off")[0].number, 2);
    running.stop().await;
}

async fn many_processes_run_each_job_once(fixture: Fixture) {
    let notes = Notes::default();
    let running: Vec<_> = (0..4)
        .map(|_| fixture.run_beside(notes.handler(PROMPT, |_| Ok(()))))
        .collect();
    for number in 0..100 {
        let note = Note::new(&format!("note-{number}"));
        fixture.queue.enqueue(&note).await.unwrap();
    }
    eventually("all are run", async || notes.jobs() == 100).await;
    fixture.drained().await;
    for number in 0..100 {
        assert_eq!(notes.of(&format!("note-{number}")), 1);
    }
    for each in running {
        each.stop().await;
    }
}
