//! From the tables to the broker.

use std::{sync::Arc, time::Duration};

use protocol::Timestamp;
use storage::StoreError;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use super::{
    message::Message,
    publisher::{Place, Publisher},
};
use crate::JobQueue;

/// Jobs that are published at once, which is what of them is in memory: at most 16 MiB.
const BATCH: u32 = 250;

/// How long a job that another process has enqueued may go unnoticed.
const POLL: Duration = Duration::from_secs(1);

/// How long jobs are claimed: for longer than publishing them and noting it takes, also by a clock that is a minute ahead. Those of
/// a process that died meanwhile are published by another then.
const CLAIM: Duration = Duration::from_secs(120);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// When to look for jobs.
enum Next {
    /// After this time, or when one is enqueued here.
    After(Duration),
    /// After the pause, whatever is enqueued.
    AfterFailure,
}

/// Publishes what is due.
pub(super) struct Relay {
    queue: JobQueue,
    publisher: Arc<Publisher>,
}

impl Relay {
    pub(super) fn new(queue: JobQueue, publisher: Arc<Publisher>) -> Self {
        Self { queue, publisher }
    }

    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut is_failing = false;
        while !*stop.borrow() {
            let published = self.publish().await;
            if let Err(error) = &published
                && !is_failing
            {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "jobs can't be read");
            }
            is_failing = published.is_err();
            let next = published.unwrap_or(Next::AfterFailure);
            let (wait, is_woken) = match next {
                Next::After(wait) => (wait, true),
                Next::AfterFailure => (PAUSE, false),
            };
            tokio::select! {
                () = self.queue.added(), if is_woken => {}
                () = sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Publishes a batch, and says when to look for the next one.
    async fn publish(&self) -> Result<Next, StoreError> {
        let store = self.queue.store();
        let now = Timestamp::now();
        match store.first_due().await? {
            None => return Ok(Next::After(POLL)),
            Some(first) if first > now => {
                return Ok(Next::After(first.since(now).min(POLL)));
            }
            Some(_) => {}
        }
        // Nothing is claimed in vain while the broker is away.
        if self.publisher.channel().await.is_err() {
            return Ok(Next::AfterFailure);
        }
        let claim = Uuid::now_v7().simple().to_string();
        let until = now.plus(CLAIM);
        let claimed = store.claim_publications(&claim, now, until, BATCH).await?;
        if claimed.is_empty() {
            return Ok(Next::After(POLL));
        }
        let is_full = claimed.len() == BATCH as usize;
        let messages: Vec<_> = claimed.into_iter().map(Message::of_outbox).collect();
        let placed: Vec<_> = messages
            .iter()
            .map(|message| (message, Place::Queue))
            .collect();
        let outcomes = self.publisher.publish_all(&placed).await;
        let failed: Vec<_> = match &outcomes {
            Ok(outcomes) => messages
                .iter()
                .zip(outcomes)
                .filter_map(|(message, error)| error.as_ref().map(|error| (message, error)))
                .collect(),
            Err(error) => messages.iter().map(|message| (message, error)).collect(),
        };
        if let Some((message, error)) = failed.first() {
            let (kind, jobs) = (&message.kind, failed.len());
            tracing::warn!(kind, jobs, %error, "jobs weren't published; they wait in the tables");
        }
        let back: Vec<_> = failed
            .iter()
            .map(|(message, _)| (message.kind.as_str(), message.id.as_str()))
            .collect();
        let again = Timestamp::now();
        store
            .complete_publications(&claim, until, &back, again)
            .await?;
        Ok(match (back.is_empty(), is_full) {
            (false, _) => Next::AfterFailure,
            (true, true) => Next::After(Duration::ZERO),
            (true, false) => Next::After(POLL),
        })
    }
}
