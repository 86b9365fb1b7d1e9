//! Health: whether the process works, and whether what it needs does.
//!
//! What must stay true: a failure is never hidden by an earlier success. Only success is remembered, for a moment, so
//! that a crowd of probes costs one look.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use http::StatusCode;
use protocol::{HealthCheck, HealthReport, HealthStatus};
use redis_client::RedisClient;
use storage::{MessageStore, StoreError};
use tokio::{sync::Mutex, time::timeout};

use crate::app::{App, SharedApp};

/// The routes of this file, which are served when there isn't room for others.
pub const PATHS: [&str; 5] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/live",
    "/ready",
];

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a success is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The uses of Redis, by name.
pub const MAIN: &str = "redis";
/// Sessions.
pub const SESSIONS: &str = "redis_sessions";
/// Rate limits.
pub const RATE_LIMITS: &str = "redis_rate_limits";

/// The health of one server.
pub struct Health {
    started: Instant,
    redis: Checks,
    last: Mutex<Option<Look>>,
}

/// What of a fleet's services is looked at beside the store.
#[derive(Default)]
pub struct Checks(Vec<(&'static str, RedisClient)>);

impl Checks {
    /// The three uses of Redis, which may be three servers.
    pub fn of_fleet(main: &RedisClient, sessions: &RedisClient, limits: &RedisClient) -> Self {
        Self(vec![
            (MAIN, main.clone()),
            (SESSIONS, sessions.clone()),
            (RATE_LIMITS, limits.clone()),
        ])
    }
}

/// A look at what the server needs.
#[derive(Clone)]
struct Look {
    ended: Instant,
    checks: BTreeMap<String, HealthCheck>,
}

impl Health {
    /// Of a server that starts now.
    pub fn new(redis: Checks) -> Self {
        Self {
            started: Instant::now(),
            redis,
            last: Mutex::new(None),
        }
    }

    /// The uses of Redis, by name; of a fleet.
    pub fn redis(&self) -> impl Iterator<Item = (&'static str, &RedisClient)> {
        self.redis.0.iter().map(|(name, client)| (*name, client))
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

    async fn look(&self, store: &MessageStore) -> Look {
        let asked = Instant::now();
        // One looks; who comes meanwhile takes the outcome, whatever it is.
        let mut last = self.last.lock().await;
        if let Some(look) = &*last {
            let ended_since = look.ended >= asked;
            let all_well = look
                .checks
                .values()
                .all(|check| check.status == HealthStatus::Ok);
            let is_fresh = look.ended.elapsed() < REMEMBERED && all_well;
            if ended_since || is_fresh {
                return look.clone();
            }
        }
        let redis = self.redis.0.iter().map(|(name, client)| async move {
            // Live connections and messages go on without it.
            let failed = HealthStatus::Degraded;
            let answered = async { client.ping().await.map_err(|_| "not reached") };
            let check = check(failed, answered).await;
            ((*name).to_owned(), check)
        });
        let store = async {
            // The cause stands in the log, where the store reports it.
            let failed = HealthStatus::Unavailable;
            let answered = async {
                store.ping().await.map_err(|error| match error {
                    StoreError::Corrupt(_) => "the database is damaged",
                    _ => "writes are not possible",
                })
            };
            let check = check(failed, answered).await;
            ("store".to_owned(), check)
        };
        let (store, redis) = tokio::join!(store, join_all(redis));
        last.insert(Look {
            checks: redis.into_iter().chain([store]).collect(),
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
    let message = match timeout(PATIENCE, answered).await {
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

/// Whether the process works: that it answers says so.
pub async fn live(State(app): State<SharedApp>) -> Json<HealthReport> {
    Json(app.health.report(BTreeMap::new()))
}

/// Whether everything works that the server can't do without: for clients, who don't learn what that is.
pub async fn ready(State(app): State<SharedApp>) -> Response {
    let report = app.health.report(checks(&app).await);
    answer(HealthReport {
        checks: BTreeMap::new(),
        ..report
    })
}

/// As [`ready`], by the names of what was looked at: for operators.
pub async fn ready_in_detail(State(app): State<SharedApp>) -> Response {
    answer(app.health.report(checks(&app).await))
}

async fn checks(app: &App) -> BTreeMap<String, HealthCheck> {
    let mut checks = app.health.look(&app.store).await.checks;
    for (name, message) in app.startup.missing().into_iter().flatten() {
        let waited_for = HealthCheck {
            status: HealthStatus::Unavailable,
            latency_ms: None,
            message: Some(message),
        };
        checks.insert(name.to_owned(), waited_for);
    }
    if !app.startup.is_over() {
        let starting = HealthCheck {
            status: HealthStatus::Unavailable,
            latency_ms: None,
            message: Some("clients are taken once everything is there".to_owned()),
        };
        checks.insert("startup".to_owned(), starting);
    }
    checks
}

fn answer(report: HealthReport) -> Response {
    let status = match report.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn success_is_remembered_and_failure_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = MessageStore::open(directory.path()).await.unwrap();
        let health = Health::new(Checks::default());
        let first = health.look(&store).await;
        assert_eq!(first.checks["store"].status, HealthStatus::Ok);
        store.close().await;
        assert_eq!(
            health.look(&store).await.ended,
            first.ended,
            "a moment ago it worked"
        );
        health.last.lock().await.as_mut().unwrap().ended -= REMEMBERED;
        let failed = health.look(&store).await;
        assert_eq!(failed.checks["store"].status, HealthStatus::Unavailable);
        assert_ne!(
            health.look(&store).await.ended,
            failed.ended,
            "it is looked at again"
        );
        let report = health.report(failed.checks);
        assert_eq!(report.status, HealthStatus::Unavailable);
    }
}
