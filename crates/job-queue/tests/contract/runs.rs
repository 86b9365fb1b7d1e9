//! Runs and their failures.

use std::{sync::Arc, time::Duration};

use job_queue::{Handler, JobError, JobId, KindSettings, outbox};
use parking_lot::Mutex;
use protocol::Timestamp;
use storage::{NewJob, Statement, Written};
use tokio::sync::Semaphore;

use crate::{Fixture, Note, Notes, PROMPT, eventually, fixture::handlers};

on_each!(
    a_job_is_run_once_and_is_gone,
    a_job_of_an_id_that_waits_is_that_job,
    a_failed_job_is_run_again_until_it_succeeds,
    a_job_that_panics_or_takes_too_long_has_failed,
    jobs_of_a_kind_run_at_once_up_to_its_concurrency,
    a_job_isnt_run_before_its_time,
    a_job_is_enqueued_with_the_change_that_it_follows_from_or_not_at_all,
    kinds_that_nobody_here_runs_wait,
);

async fn a_job_is_run_once_and_is_gone(fixture: Fixture) {
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    let ids: Vec<_> = (0..20).map(|number| format!("note-{number}")).collect();
    for id in &ids {
        fixture.queue.enqueue(&Note::new(id)).await.unwrap();
    }
    eventually("all are run", async || notes.jobs() == ids.len()).await;
    fixture.drained().await;
    for id in &ids {
        let attempts = notes.attempts(id);
        assert_eq!(attempts.len(), 1, "{id}");
        assert_eq!((attempts[0].number, attempts[0].is_last), (1, false));
    }
    running.stop().await;
}

async fn a_job_of_an_id_that_waits_is_that_job(fixture: Fixture) {
    for _ in 0..3 {
        fixture.queue.enqueue(&Note::new("same")).await.unwrap();
    }
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    eventually("it is run", async || notes.of("same") >= 1).await;
    fixture.drained().await;
    assert_eq!(notes.of("same"), 1);
    // It is done: this is another one.
    fixture.queue.enqueue(&Note::new("same")).await.unwrap();
    eventually("it is run again", async || notes.of("same") == 2).await;
    running.stop().await;
}

async fn a_failed_job_is_run_again_until_it_succeeds(fixture: Fixture) {
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |attempt| match attempt.number {
        1 => Err(JobError::temporary("the first one fails")),
        2 => Err(JobError::NotBefore(
            Duration::from_millis(300),
            "the service is busy".into(),
        )),
        _ => Ok(()),
    }));
    fixture.queue.enqueue(&Note::new("stubborn")).await.unwrap();
    eventually("three runs", async || notes.of("stubborn") == 3).await;
    fixture.drained().await;
    let attempts = notes.attempts("stubborn");
    let numbers: Vec<_> = attempts.iter().map(|a| (a.number, a.is_last)).collect();
    assert_eq!(numbers, [(1, false), (2, false), (3, true)]);
    assert!(
        fixture
            .queue
            .store()
            .dead(None, 1, 10)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    running.stop().await;
}

async fn a_job_that_panics_or_takes_too_long_has_failed(fixture: Fixture) {
    let notes = Notes::default();
    let noted = notes.clone();
    let settings = KindSettings {
        time_limit: Duration::from_millis(100),
        ..PROMPT
    };
    let running = fixture.run(handlers(Handler::new(settings, move |_: Note, attempt| {
        let (noted, number) = (noted.clone(), attempt.number);
        async move {
            noted.add(attempt);
            match number {
                1 => panic!("as a test"),
                2 => std::future::pending().await,
                _ => Ok(()),
            }
        }
    })));
    fixture.queue.enqueue(&Note::new("bad")).await.unwrap();
    eventually("three runs", async || notes.of("bad") == 3).await;
    fixture.drained().await;
    running.stop().await;
}

async fn jobs_of_a_kind_run_at_once_up_to_its_concurrency(fixture: Fixture) {
    for number in 0..12 {
        let note = Note::new(&format!("note-{number}"));
        fixture.queue.enqueue(&note).await.unwrap();
    }
    let (now, most) = (Arc::new(Semaphore::new(3)), Arc::new(Mutex::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let notes = Notes::default();
    let settings = KindSettings {
        concurrency: 3,
        ..PROMPT
    };
    let (permits, seen, opened, noted) = (now.clone(), most.clone(), gate.clone(), notes.clone());
    let running = fixture.run(handlers(Handler::new(settings, move |_: Note, attempt| {
        let (permits, seen) = (permits.clone(), seen.clone());
        let (opened, noted) = (opened.clone(), noted.clone());
        async move {
            let permit = permits.try_acquire().map_err(JobError::permanent)?;
            {
                let mut seen = seen.lock();
                *seen = (*seen).max(3 - permits.available_permits());
            }
            opened
                .acquire()
                .await
                .map_err(JobError::permanent)?
                .forget();
            drop(permit);
            noted.add(attempt);
            Ok(())
        }
    })));
    eventually("three at once", async || *most.lock() == 3).await;
    gate.add_permits(12);
    eventually("all are run", async || notes.jobs() == 12).await;
    assert_eq!(*most.lock(), 3);
    running.stop().await;
}

async fn a_job_isnt_run_before_its_time(fixture: Fixture) {
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    let (began, delay) = (Timestamp::now(), Duration::from_millis(700));
    let queue = &fixture.queue;
    queue
        .enqueue_after(delay, &Note::new("later"))
        .await
        .unwrap();
    let hour = Duration::from_secs(3_600);
    queue
        .enqueue_after(hour, &Note::new("much later"))
        .await
        .unwrap();
    queue.enqueue(&Note::new("now")).await.unwrap();
    eventually("both are run", async || notes.jobs() == 2).await;
    assert!(Timestamp::now().unix_ms() - began.unix_ms() >= 700);
    assert_eq!(notes.of("much later"), 0);
    running.stop().await;
}

async fn a_job_is_enqueued_with_the_change_that_it_follows_from_or_not_at_all(fixture: Fixture) {
    let write = async |condition| {
        let change = Statement::new("DELETE FROM jobs WHERE id = $1").bind(condition);
        let job = outbox::statement(&Note::new("follows")).unwrap();
        let written = fixture.sql.write(None, vec![job, change.required()]).await;
        fixture.queue.wake();
        written.unwrap()
    };
    assert_eq!(write("nothing").await, Written::Refused(1));
    assert_eq!(fixture.queue.store().first_due().await.unwrap(), None);
    let hour = Duration::from_secs(3_600);
    fixture
        .queue
        .enqueue_after(hour, &Note::new("something"))
        .await
        .unwrap();
    assert!(matches!(write("something").await, Written::All(_)));
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    eventually("it is run", async || notes.of("follows") == 1).await;
    running.stop().await;
    let too_large = Note {
        id: JobId::random().to_string(),
        text: "x".repeat(storage::JOB_PAYLOAD_MAX),
    };
    fixture.queue.enqueue(&too_large).await.unwrap_err();
}

async fn kinds_that_nobody_here_runs_wait(fixture: Fixture) {
    let other = NewJob {
        kind: "test.other".to_owned(),
        id: "1".to_owned(),
        payload: "{}".to_owned(),
        enqueued_at: Timestamp::now(),
        not_before: Timestamp::now(),
    };
    fixture.queue.store().insert(vec![other]).await.unwrap();
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    fixture.queue.enqueue(&Note::new("known")).await.unwrap();
    eventually("the known one is run", async || notes.of("known") == 1).await;
    fixture.drained().await;
    running.stop().await;
    assert_eq!(fixture.left_of("test.other").await, 1);
}
