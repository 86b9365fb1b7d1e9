//! The check of one dependency, and its last outcome.

use std::{sync::Arc, time::Duration};

use job_queue::RabbitMq;
use parking_lot::Mutex;
use protocol::{HealthCheck, HealthStatus};
use redis_client::RedisClient;
use storage::{AuditStore, MessageStore, Operation, Postgres, StoreError};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

/// How long a dependency may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Between two checks of one dependency, however many ask.
const APART: Duration = Duration::from_millis(100);

/// How long the success of a remote dependency is cached.
pub(super) const REMOTE: Duration = Duration::from_secs(30);

/// The same of the own disk, which is asked without a round trip.
pub(super) const LOCAL: Duration = Duration::from_secs(1);

/// What is checked.
pub(super) enum Dependency {
    Store(MessageStore),
    Redis(RedisClient),
    Postgres(Postgres),
    Audit(AuditStore),
    RabbitMq(Arc<RabbitMq>),
    #[cfg(test)]
    Test(std::sync::Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, bool> + Send + Sync>),
}

impl Dependency {
    async fn ask(&self) -> Result<(), &'static str> {
        match self {
            // The cause is in the log, where the store reports it.
            Self::Store(store) => store.ping().await.map_err(|error| match error {
                StoreError::Corrupt(_) => "the database is damaged",
                _ => "writes are not possible",
            }),
            Self::Redis(client) => match client.ping().await {
                Ok(_) => Ok(()),
                Err(_) => Err("not reached"),
            },
            Self::Postgres(postgres) => postgres.ping().await.map_err(|_| "not reached"),
            Self::Audit(store) => store.ping().await.map_err(|_| "writes are not possible"),
            Self::RabbitMq(broker) => broker.ping().await.map_err(|_| "not reached"),
            #[cfg(test)]
            Self::Test(answers) => answers().await.then_some(()).ok_or("not reached"),
        }
    }

    /// What the server can't do without it: anything, or only some things.
    fn failed(&self) -> HealthStatus {
        match self {
            Self::Store(_) => HealthStatus::Unavailable,
            // Live connections and messages go on.
            Self::Redis(_) | Self::Postgres(_) | Self::Audit(_) | Self::RabbitMq(_) => {
                HealthStatus::Degraded
            }
            #[cfg(test)]
            Self::Test(_) => HealthStatus::Degraded,
        }
    }

    /// Grows when those who use the dependency meet a failure: then an earlier success says nothing any more.
    fn troubles(&self) -> u64 {
        match self {
            Self::Store(store) => Operation::ALL
                .map(|operation| store.failures(operation))
                .iter()
                .sum(),
            Self::Redis(client) => {
                let stats = client.stats();
                let failed: u64 = stats.failed().map(|(_, count)| count).sum();
                stats.disconnects() + failed
            }
            Self::Postgres(postgres) => postgres.stats().troubles(),
            // Its success is cached for a moment only.
            Self::Audit(_) => 0,
            Self::RabbitMq(broker) => broker.counts().unpublished(),
            #[cfg(test)]
            Self::Test(_) => 0,
        }
    }
}

/// The check of a dependency.
pub(super) struct Check {
    pub(super) name: &'static str,
    dependency: Dependency,
    /// How long a success is.
    cached: Duration,
    /// Since when one runs.
    runs_since: Mutex<Option<Instant>>,
    last: watch::Sender<Option<Outcome>>,
}

/// How a check ended.
#[derive(Clone)]
pub(super) struct Outcome {
    began: Instant,
    ended: Instant,
    /// Before it began.
    troubles: u64,
    pub(super) check: HealthCheck,
}

impl Check {
    pub(super) fn new(name: &'static str, dependency: Dependency, cached: Duration) -> Arc<Self> {
        Arc::new(Self {
            name,
            dependency,
            cached,
            runs_since: Mutex::new(None),
            last: watch::Sender::new(None),
        })
    }

    pub(super) fn last(&self) -> Option<Outcome> {
        self.last.borrow().clone()
    }

    /// Whether the last outcome may be told without checking again.
    fn is_fresh(&self) -> bool {
        let last = self.last.borrow();
        let Some(Outcome {
            began,
            ended,
            troubles,
            check,
        }) = &*last
        else {
            return false;
        };
        let holds = check.status == HealthStatus::Ok
            && ended.elapsed() < self.cached
            && *troubles == self.dependency.troubles();
        holds || began.elapsed() < APART
    }

    /// Waits for an outcome to tell: at once if there is a good one that is cached; else for a new one, if there was one before only until
    /// the check has run for `patience`.
    pub(super) async fn renew(self: &Arc<Self>, patience: Duration) {
        if self.is_fresh() {
            return;
        }
        let asked = Instant::now();
        let mut outcomes = self.last.subscribe();
        let is_first = outcomes.borrow().is_none();
        let until = self.run() + if is_first { TIMEOUT * 2 } else { patience };
        // Those who come while one runs get its outcome, whatever it is.
        let new = outcomes.wait_for(|last| last.as_ref().is_some_and(|last| last.ended >= asked));
        // The sender is this check's; too late is as good as not at all.
        drop(timeout_at(until, new).await.map(|new| new.map(drop)));
    }

    /// Checks in the background, unless that is being done. Since when it is.
    fn run(self: &Arc<Self>) -> Instant {
        let now = {
            let mut runs_since = self.runs_since.lock();
            if let Some(since) = *runs_since {
                return since;
            }
            *runs_since.insert(Instant::now())
        };
        let running = Running(self.clone());
        tokio::spawn(async move {
            let Running(check) = &running;
            let (began, troubles) = (Instant::now(), check.dependency.troubles());
            let message = match timeout(TIMEOUT, check.dependency.ask()).await {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(_) => Some("no answer in 2 s"),
            };
            let outcome = Outcome {
                began,
                ended: Instant::now(),
                troubles,
                check: HealthCheck {
                    status: match message {
                        None => HealthStatus::Ok,
                        Some(_) => check.dependency.failed(),
                    },
                    latency_ms: Some(began.elapsed().as_millis() as u64),
                    message: message.map(str::to_owned),
                },
            };
            let check = check.clone();
            // First, so that whoever sees the outcome can ask for the next one.
            drop(running);
            check.last.send_replace(Some(outcome));
        });
        now
    }
}

/// A check that runs, until this is dropped.
struct Running(Arc<Check>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.runs_since.lock() = None;
    }
}
