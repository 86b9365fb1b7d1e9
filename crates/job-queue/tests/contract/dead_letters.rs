//! Jobs that failed for good.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use job_queue::{Attempt, Handler, JobError};
use parking_lot::Mutex;

use crate::{Fixture, Note, Notes, PROMPT, eventually, fixture::handlers};

on_each!(
    a_job_whose_runs_are_used_up_is_a_dead_letter,
    a_job_that_cant_succeed_is_a_dead_letter_at_once,
    dead_letters_are_listed_replayed_and_dropped,
    what_follows_from_a_failed_job_is_done_before_it_is_dead,
);

async fn dead_ids(fixture: &Fixture, kind: Option<&str>) -> Vec<String> {
    let (dead, _) = fixture.queue.store().dead(kind, 1, 100).await.unwrap();
    let mut ids: Vec<_> = dead.into_iter().map(|job| job.id).collect();
    ids.sort();
    ids
}

async fn a_job_whose_runs_are_used_up_is_a_dead_letter(fixture: Fixture) {
    let notes = Notes::default();
    let running =
        fixture.run(notes.handler(PROMPT, |_| Err(JobError::temporary("it never works"))));
    fixture.queue.enqueue(&Note::new("hopeless")).await.unwrap();
    eventually("it is dead", async || {
        dead_ids(&fixture, None).await == ["hopeless"]
    })
    .await;
    fixture.drained().await;
    assert_eq!(notes.of("hopeless"), 3);
    let (dead, _) = fixture.queue.store().dead(None, 1, 10).await.unwrap();
    let job = &dead[0];
    assert_eq!((job.kind.as_str(), job.attempts), ("test.note", 3));
    assert_eq!(job.error, "it never works");
    assert!(job.payload.contains("the text of hopeless"));
    assert!(job.died_at >= job.enqueued_at);
    running.stop().await;
}

async fn a_job_that_cant_succeed_is_a_dead_letter_at_once(fixture: Fixture) {
    let notes = Notes::default();
    let running =
        fixture.run(notes.handler(PROMPT, |_| Err(JobError::permanent("é".repeat(2_000)))));
    fixture.queue.enqueue(&Note::new("wrong")).await.unwrap();
    eventually("it is dead", async || {
        dead_ids(&fixture, None).await == ["wrong"]
    })
    .await;
    assert_eq!(notes.of("wrong"), 1);
    let (dead, _) = fixture.queue.store().dead(None, 1, 10).await.unwrap();
    assert_eq!(dead[0].error, "é".repeat(storage::JOB_ERROR_MAX / 2));
    running.stop().await;
}

async fn dead_letters_are_listed_replayed_and_dropped(fixture: Fixture) {
    let notes = Notes::default();
    let broken = Arc::new(AtomicUsize::new(1));
    let is_broken = broken.clone();
    let running = fixture.run(
        notes.handler(PROMPT, move |_| match is_broken.load(Relaxed) {
            0 => Ok(()),
            _ => Err(JobError::permanent("broken")),
        }),
    );
    for id in ["a", "b", "c"] {
        fixture.queue.enqueue(&Note::new(id)).await.unwrap();
    }
    eventually("all are dead", async || {
        dead_ids(&fixture, None).await == ["a", "b", "c"]
    })
    .await;
    assert_eq!(dead_ids(&fixture, Some("test.note")).await.len(), 3);
    assert!(dead_ids(&fixture, Some("test.other")).await.is_empty());
    let store = fixture.queue.store();
    let (page, total) = store.dead(None, 2, 2).await.unwrap();
    assert_eq!((page.len(), total), (1, 3));
    assert_eq!(
        store.dead_counts().await.unwrap(),
        [("test.note".to_owned(), 3)]
    );

    assert!(store.drop_dead("test.note", "a").await.unwrap());
    assert!(!store.drop_dead("test.note", "a").await.unwrap());
    broken.store(0, Relaxed);
    assert!(store.replay("test.note", "b").await.unwrap());
    fixture.queue.wake();
    assert!(!store.replay("test.note", "a").await.unwrap());
    eventually("it is run again", async || notes.of("b") == 2).await;
    fixture.drained().await;
    assert_eq!(dead_ids(&fixture, None).await, ["c"]);
    let attempts = notes.attempts("b");
    assert_eq!(attempts[1].number, 1, "its runs begin anew");
    running.stop().await;
}

async fn what_follows_from_a_failed_job_is_done_before_it_is_dead(fixture: Fixture) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let handler = Handler::new(PROMPT, |_: Note, _: Attempt| async {
        Err(JobError::permanent("no picture"))
    });
    let handler = handler.when_given_up(move |note: Note, reason| {
        let heard = heard.clone();
        async move {
            let mut heard = heard.lock();
            heard.push((note.id, reason));
            match heard.len() {
                1 => Err(JobError::temporary("nobody can be told yet")),
                _ => Ok(()),
            }
        }
    });
    let running = fixture.run(handlers(handler));
    fixture.queue.enqueue(&Note::new("picture")).await.unwrap();
    eventually("it is dead", async || {
        dead_ids(&fixture, None).await == ["picture"]
    })
    .await;
    let told = told.lock().clone();
    assert!(told.len() >= 2);
    assert!(told.iter().all(|(id, _)| id == "picture"));
    assert_eq!(told[0].1, "no picture");
    running.stop().await;
}
