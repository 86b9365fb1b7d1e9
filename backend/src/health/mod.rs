//! Health: whether the process works, and whether what it depends on does.
//!
//! What must stay true: a failure is never hidden by an earlier success. Only success is cached, for a moment, so that a
//! crowd of probes costs one check.

pub mod probe;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use protocol::{HealthCheck, HealthReport, HealthStatus};
use redis_client::RedisClient;
use storage::{MessageStore, StoreError};
use tokio::{sync::Mutex, time::timeout};

use crate::fleet::startup::Startup;

/// How long a dependency may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a success is cached.
const CACHED: Duration = Duration::from_secs(1);

/// The health of one server.
pub struct Health {
    started: Instant,
    store: MessageStore,
    startup: Arc<Startup>,
    /// Of a fleet, by use.
    redis: Vec<(&'static str, RedisClient)>,
    last: Mutex<Option<Checks>>,
}

/// The outcome of checking what the server depends on.
#[derive(Clone)]
struct Checks {
    ended: Instant,
    by_name: BTreeMap<String, HealthCheck>,
}

impl Health {
    /// The health of a server that starts now.
    pub fn new(
        store: MessageStore,
        startup: Arc<Startup>,
        redis: Vec<(&'static str, RedisClient)>,
    ) -> Self {
        Self {
            started: Instant::now(),
            store,
            startup,
            redis,
            last: Mutex::new(None),
        }
    }

    /// The clients of Redis by their use; none on a single instance.
    pub fn redis(&self) -> &[(&'static str, RedisClient)] {
        &self.redis
    }

    /// The report of a process that works: that it answers says so.
    pub fn live(&self) -> HealthReport {
        self.report(BTreeMap::new())
    }

    /// The report on everything that the server depends on, by name.
    pub async fn ready(&self) -> HealthReport {
        let mut checks = self.check().await.by_name;
        for (name, message) in self.startup.missing().into_iter().flatten() {
            let missing = HealthCheck {
                status: HealthStatus::Unavailable,
                latency_ms: None,
                message: Some(message),
            };
            checks.insert(name.to_owned(), missing);
        }
        if !self.startup.is_over() {
            let starting = HealthCheck {
                status: HealthStatus::Unavailable,
                latency_ms: None,
                message: Some(
                    "clients are accepted once all dependencies are available".to_owned(),
                ),
            };
            checks.insert("startup".to_owned(), starting);
        }
        self.report(checks)
    }

    fn report(&self, checks: BTreeMap<String, HealthCheck>) -> HealthReport {
        HealthReport {
            status: checks
                .values()
                .map(|check| check.status)
                .max()
                .unwrap_or(HealthStatus::Ok),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            checks,
        }
    }

    async fn check(&self) -> Checks {
        let asked = Instant::now();
        // One caller checks; those who come meanwhile get its outcome, whatever it is.
        let mut last = self.last.lock().await;
        if let Some(checks) = &*last {
            let ended_since = checks.ended >= asked;
            let mut statuses = checks.by_name.values().map(|check| check.status);
            let all_ok = statuses.all(|status| status == HealthStatus::Ok);
            let is_fresh = checks.ended.elapsed() < CACHED && all_ok;
            if ended_since || is_fresh {
                return checks.clone();
            }
        }
        let redis = self.redis.iter().map(|(name, client)| async move {
            // Live connections and messages go on without it.
            let failed = HealthStatus::Degraded;
            let answered = async { client.ping().await.map_err(|_| "not reached") };
            let check = check(failed, answered).await;
            ((*name).to_owned(), check)
        });
        let store = async {
            // The cause is in the log, where the store reports it.
            let failed = HealthStatus::Unavailable;
            let answered = async {
                self.store.ping().await.map_err(|error| match error {
                    StoreError::Corrupt(_) => "the database is damaged",
                    _ => "writes are not possible",
                })
            };
            let check = check(failed, answered).await;
            ("store".to_owned(), check)
        };
        let (store, redis) = tokio::join!(store, join_all(redis));
        last.insert(Checks {
            by_name: redis.into_iter().chain([store]).collect(),
            ended: Instant::now(),
        })
        .clone()
    }
}

async fn check<T>(
    failed: HealthStatus,
    answered: impl Future<Output = Result<T, &'static str>>,
) -> HealthCheck {
    let asked = Instant::now();
    let message = match timeout(TIMEOUT, answered).await {
        Ok(Ok(_)) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("no answer in 2 s"),
    };
    HealthCheck {
        status: if message.is_none() {
            HealthStatus::Ok
        } else {
            failed
        },
        latency_ms: Some(asked.elapsed().as_millis() as u64),
        message: message.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn success_is_cached_and_failure_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = MessageStore::open(directory.path()).await.unwrap();
        let health = Health::new(store.clone(), Arc::default(), Vec::new());
        let first = health.check().await;
        assert_eq!(first.by_name["store"].status, HealthStatus::Ok);
        store.close().await;
        assert_eq!(
            health.check().await.ended,
            first.ended,
            "a moment ago it worked"
        );
        health.last.lock().await.as_mut().unwrap().ended -= CACHED;
        let failed = health.check().await;
        assert_eq!(failed.by_name["store"].status, HealthStatus::Unavailable);
        assert_ne!(
            health.check().await.ended,
            failed.ended,
            "it is checked again"
        );
        assert_eq!(health.ready().await.status, HealthStatus::Unavailable);
    }
}
