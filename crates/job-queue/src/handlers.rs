//! What runs jobs, by kind.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use protocol::Timestamp;

use crate::{Job, JobError, JobId, Retries, counts::KindCounts};

/// How the jobs of one kind are run.
#[derive(Debug, Clone, Copy)]
pub struct KindSettings {
    /// Runs at once in one process.
    pub concurrency: usize,
    /// How long a run may take; then it is dropped and counts as failed. What it started on other threads should end by itself within
    /// that time too.
    pub time_limit: Duration,
    /// When a failed one is tried again.
    pub retries: Retries,
}

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Of the job.
    pub id: JobId,
    /// The first one is 1.
    pub number: u32,
    /// If this one fails too, the job becomes a dead letter.
    pub is_last: bool,
    /// When the job was enqueued.
    pub enqueued_at: Timestamp,
}

type Outcome = Result<(), JobError>;
type Run = Box<
    dyn Fn(&str, Attempt) -> Result<BoxFuture<'static, Outcome>, serde_json::Error> + Send + Sync,
>;
type GivenUp = Box<
    dyn Fn(&str, String) -> Result<BoxFuture<'static, Outcome>, serde_json::Error> + Send + Sync,
>;

/// What runs the jobs of one kind.
pub struct Handler {
    pub(crate) kind: &'static str,
    pub(crate) settings: KindSettings,
    pub(crate) counts: Arc<KindCounts>,
    run: Run,
    given_up: Option<GivenUp>,
}

impl Handler {
    /// Runs jobs of a type with `run`.
    pub fn new<J: Job, F>(
        settings: KindSettings,
        run: impl Fn(J, Attempt) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self {
            kind: J::KIND,
            settings,
            counts: Arc::default(),
            run: Box::new(move |payload, attempt| {
                Ok(run(serde_json::from_str(payload)?, attempt).boxed())
            }),
            given_up: None,
        }
    }

    /// Before a job becomes a dead letter, `given_up` is run with the reason, again and again until it succeeds: for what depends on
    /// the job, such as an image that is shown as failed. Also when no run could say itself that it was the last, since the process
    /// died in it.
    #[must_use]
    pub fn when_given_up<J: Job, F>(
        self,
        given_up: impl Fn(J, String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        debug_assert_eq!(J::KIND, self.kind);
        Self {
            given_up: Some(Box::new(move |payload, reason| {
                Ok(given_up(serde_json::from_str(payload)?, reason).boxed())
            })),
            ..self
        }
    }
}

/// What a queue hands over to be run.
pub(crate) struct Delivery<'a> {
    pub(crate) id: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) enqueued_at: Timestamp,
    /// The number of this run.
    pub(crate) attempt: u32,
}

/// What becomes of a job after a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    Retry { after: Duration, error: String },
    Dead { error: String },
}

impl Handler {
    /// Runs a job once.
    pub(crate) async fn run(&self, delivery: &Delivery<'_>) -> Verdict {
        let runs = self.settings.retries.runs.max(1);
        if delivery.attempt > runs {
            // The last run didn't end: nobody heard how.
            return self
                .give_up(delivery, "the last run ended with its process".to_owned())
                .await;
        }
        let attempt = Attempt {
            id: JobId::new(delivery.id),
            number: delivery.attempt,
            is_last: delivery.attempt == runs,
            enqueued_at: delivery.enqueued_at,
        };
        let began = Instant::now();
        let result = self.attempt(delivery, attempt).await;
        self.counts.ran(began.elapsed(), result.is_ok());
        let Err(error) = result else {
            return Verdict::Done;
        };
        let (kind, id, attempt) = (self.kind, delivery.id, delivery.attempt);
        tracing::warn!(kind, id, attempt, %error, "a job failed");
        let text = clipped(error.to_string());
        if attempt == runs || matches!(error, JobError::Permanent(_)) {
            return self.give_up(delivery, text).await;
        }
        let scheduled = self.settings.retries.delay(attempt);
        let after = match error {
            JobError::NotBefore(at_least, _) => scheduled.max(at_least),
            JobError::Temporary(_) | JobError::Permanent(_) => scheduled,
        };
        self.counts.count_retry();
        Verdict::Retry { after, error: text }
    }

    async fn attempt(&self, delivery: &Delivery<'_>, attempt: Attempt) -> Outcome {
        // A newer version may have written it, which will take it up.
        let unreadable = |error| JobError::temporary(format!("the job can't be read: {error}"));
        let running = (self.run)(delivery.payload, attempt).map_err(unreadable)?;
        let limit = self.settings.time_limit;
        within(limit, running).await
    }

    /// Does what has to be done before the job may be a dead letter.
    pub(crate) async fn give_up(&self, delivery: &Delivery<'_>, error: String) -> Verdict {
        if let Some(given_up) = &self.given_up {
            // What can't be read nobody can act upon.
            let running = given_up(delivery.payload, error.clone());
            if let Ok(running) = running
                && let Err(failure) = within(self.settings.time_limit, running).await
            {
                let (kind, id) = (self.kind, delivery.id);
                tracing::warn!(kind, id, error = %failure, "what follows from a failed job can't be done yet");
                return Verdict::Retry {
                    after: self.settings.retries.longest_delay.min(GIVE_UP_AGAIN),
                    error,
                };
            }
        }
        self.counts.count_dead();
        Verdict::Dead { error }
    }
}

/// When giving up is tried again.
const GIVE_UP_AGAIN: Duration = Duration::from_secs(30);

/// Runs to its end, a panic or the end of its time.
async fn within(limit: Duration, running: BoxFuture<'static, Outcome>) -> Outcome {
    let running = AssertUnwindSafe(running).catch_unwind();
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(result)) => result,
        // The hook of the process has logged it.
        Ok(Err(_)) => Err(JobError::temporary("the job panicked")),
        Err(_) => Err(JobError::temporary(format!(
            "the job took longer than {} s",
            limit.as_secs_f64()
        ))),
    }
}

/// No longer than a dead letter's may be.
fn clipped(mut error: String) -> String {
    if error.len() > storage::JOB_ERROR_MAX {
        let end = error.floor_char_boundary(storage::JOB_ERROR_MAX);
        error.truncate(end);
    }
    error
}

/// The handlers of one process.
#[derive(Default)]
pub struct Handlers(BTreeMap<&'static str, Arc<Handler>>);

impl Handlers {
    /// Adds one; of two of the same kind the later one stays.
    pub fn add(&mut self, handler: Handler) {
        let kind = handler.kind;
        if self.0.insert(kind, Arc::new(handler)).is_some() {
            tracing::error!(kind, "two handlers for one kind of job");
        }
    }

    /// Without those of other kinds than these.
    #[must_use]
    pub fn only(mut self, kinds: &[String]) -> Self {
        self.0
            .retain(|kind, _| kinds.iter().any(|wanted| wanted == kind));
        self
    }

    /// The kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// What was counted, by kind.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &KindCounts)> {
        self.0
            .iter()
            .map(|(kind, handler)| (*kind, &*handler.counts))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Handler>> {
        self.0.values()
    }
}
