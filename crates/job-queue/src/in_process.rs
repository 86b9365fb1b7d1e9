//! Runs jobs in this process, from the table itself.
//!
//! What must stay true: a job is claimed for longer than its run may take, so that nobody else runs it meanwhile; a claim that
//! nobody ends, since the process died, ends by itself.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protocol::Timestamp;
use storage::{ClaimedJob, DeadJob, JobStore, StoreError};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    Handlers, JobQueue,
    handlers::{Delivery, Handler, Verdict},
};

/// How long a job that another process has enqueued may go unnoticed.
const POLL: Duration = Duration::from_secs(1);

/// How much longer a job is claimed than its run may take, for what has to be written afterwards.
const MARGIN: Duration = Duration::from_secs(15);

/// And how much longer for the clocks of others, which may be ahead by a minute.
const CLOCKS: Duration = Duration::from_secs(60);

/// The pause after the tables couldn't be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the jobs of a queue in this process.
pub struct InProcess {
    queue: JobQueue,
    handlers: Arc<Handlers>,
    /// Whether this process alone has the tables.
    is_alone: bool,
    /// How much longer a job is claimed than its run may take.
    margin: Duration,
}

/// The jobs that are run, with the claims by which this process has them.
type Running = Arc<Mutex<HashMap<(String, String), String>>>;

impl InProcess {
    /// That of a server that is alone: what was being run when its last process ended is run again at once.
    pub fn alone(queue: JobQueue, handlers: Arc<Handlers>) -> Self {
        Self {
            queue,
            handlers,
            is_alone: true,
            margin: MARGIN,
        }
    }

    /// One of several processes that share the tables.
    pub fn shared(queue: JobQueue, handlers: Arc<Handlers>) -> Self {
        Self {
            is_alone: false,
            margin: MARGIN + CLOCKS,
            ..Self::alone(queue, handlers)
        }
    }

    /// Has jobs claimed for so much longer than their runs may take; for tests, which don't wait for as long.
    #[doc(hidden)]
    #[must_use]
    pub fn with_margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// Runs jobs until `stop` is true. Those that run then have `grace` to end; what hasn't is given back.
    pub async fn run(&self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let store = self.queue.store();
        let running = Running::default();
        let mut tasks = JoinSet::new();
        let mut is_failing = false;
        let mut is_released = !self.is_alone;
        // A claim isn't broken off: nobody would know of it.
        while !*stop.borrow() {
            let claimed = self.claim(&mut is_released, &running, &mut tasks).await;
            if let Err(error) = &claimed
                && !is_failing
            {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "jobs can't be read");
            }
            is_failing = claimed.is_err();
            let wait = claimed.unwrap_or(PAUSE);
            tokio::select! {
                () = self.queue.added() => {}
                Some(_) = tasks.join_next() => {}
                () = sleep(wait) => {}
                stopped = stop.wait_for(|stop| *stop) => if stopped.is_err() {
                    // Nobody is left to say it.
                    break;
                },
            }
        }
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(grace, ended).await.is_err() {
            tasks.shutdown().await;
        }
        let left = std::mem::take(&mut *running.lock());
        for ((kind, id), claim) in left {
            if let Err(error) = store.give_back(&kind, &id, &claim).await {
                tracing::warn!(kind, id, %error, "a job couldn't be given back; it is run again when its claim ends");
            }
        }
    }

    /// Begins what is due and may be run, and says how long to wait for more.
    async fn claim(
        &self,
        is_released: &mut bool,
        running: &Running,
        tasks: &mut JoinSet<()>,
    ) -> Result<Duration, StoreError> {
        let store = self.queue.store();
        if !*is_released {
            store.release_all().await?;
            *is_released = true;
        }
        let now = Timestamp::now();
        match store.first_due().await? {
            None => return Ok(POLL),
            Some(first) if first > now => {
                return Ok(first.since(now).min(POLL));
            }
            Some(_) => {}
        }
        for handler in self.handlers.iter() {
            let settings = &handler.settings;
            let free = settings
                .concurrency
                .saturating_sub(handler.counts.running());
            if free == 0 {
                continue;
            }
            let claim = Uuid::now_v7().simple().to_string();
            let lasts = settings.time_limit + self.margin;
            let (began, now) = (Instant::now(), Timestamp::now());
            let until = now.plus(lasts);
            let claimed = store.claim_runs(handler.kind, &claim, now, until, free as u32);
            for job in claimed.await? {
                let key = (job.kind.clone(), job.id.clone());
                running.lock().insert(key.clone(), claim.clone());
                let is_running = handler.counts.begin();
                let run = Run {
                    store: store.clone(),
                    handler: handler.clone(),
                    claim: claim.clone(),
                    ends: began + lasts,
                };
                let running = running.clone();
                tasks.spawn(async move {
                    run.run(&job).await;
                    drop(is_running);
                    let mut running = running.lock();
                    // It may be another's by now, or this process' once more.
                    if running.get(&key) == Some(&run.claim) {
                        running.remove(&key);
                    }
                });
            }
        }
        Ok(POLL)
    }
}

/// One run.
struct Run {
    store: JobStore,
    handler: Arc<Handler>,
    claim: String,
    /// When the claim does.
    ends: Instant,
}

impl Run {
    async fn run(&self, job: &ClaimedJob) {
        let delivery = Delivery {
            id: &job.id,
            payload: &job.payload,
            enqueued_at: job.enqueued_at,
            attempt: job.attempts,
        };
        let verdict = self.handler.run(&delivery).await;
        let mut pause = Duration::from_millis(100);
        loop {
            match self.settle(job, &verdict).await {
                Ok(true) => return,
                Ok(false) => {
                    let (kind, id) = (&job.kind, &job.id);
                    tracing::warn!(
                        kind,
                        id,
                        "a job's claim ended before its run; it may be run again"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(kind = job.kind, id = job.id, %error, "what became of a job can't be written");
                    if Instant::now() + pause >= self.ends {
                        return;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    async fn settle(&self, job: &ClaimedJob, verdict: &Verdict) -> Result<bool, StoreError> {
        let ClaimedJob { kind, id, .. } = job;
        match verdict {
            Verdict::Done => self.store.complete(kind, id, &self.claim).await,
            Verdict::Retry { after, .. } => {
                let due_at = Timestamp::now().plus(*after);
                self.store.put_off(kind, id, &self.claim, due_at).await
            }
            Verdict::Dead { error } => {
                let dead = DeadJob {
                    kind: kind.clone(),
                    id: id.clone(),
                    payload: job.payload.clone(),
                    enqueued_at: job.enqueued_at,
                    died_at: Timestamp::now(),
                    attempts: job.attempts,
                    error: error.clone(),
                };
                self.store.bury(dead, &self.claim).await
            }
        }
    }
}
