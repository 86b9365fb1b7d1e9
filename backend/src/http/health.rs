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
use http::StatusCode;
use protocol::{HealthCheck, HealthReport, HealthStatus};
use storage::MessageStore;
use tokio::{sync::Mutex, time::timeout};

use crate::app::SharedApp;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a success is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The health of one server.
pub struct Health {
    started: Instant,
    last: Mutex<Option<Look>>,
}

/// A look at what the server needs.
#[derive(Clone)]
struct Look {
    ended: Instant,
    store: HealthCheck,
}

impl Default for Health {
    /// Of a server that starts now.
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: Mutex::new(None),
        }
    }
}

impl Health {
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
            let is_fresh =
                look.ended.elapsed() < REMEMBERED && look.store.status == HealthStatus::Ok;
            if ended_since || is_fresh {
                return look.clone();
            }
        }
        let store = check(store).await;
        last.insert(Look {
            ended: Instant::now(),
            store,
        })
        .clone()
    }
}

async fn check(store: &MessageStore) -> HealthCheck {
    let asked = Instant::now();
    let message = match timeout(PATIENCE, store.ping()).await {
        Ok(Ok(())) => None,
        // The cause stands in the log, where the store reports it.
        Ok(Err(_)) => Some("writes are not possible"),
        Err(_) => Some("no answer in 2 s"),
    };
    HealthCheck {
        status: if message.is_none() {
            HealthStatus::Ok
        } else {
            HealthStatus::Unavailable
        },
        latency_ms: Some(asked.elapsed().as_millis() as u64),
        message: message.map(str::to_owned),
    }
}

/// Whether the process works: that it answers says so.
pub async fn live(State(app): State<SharedApp>) -> Json<HealthReport> {
    Json(app.health.report(BTreeMap::new()))
}

/// Whether everything works that the server can't do without.
pub async fn ready(State(app): State<SharedApp>) -> Response {
    let look = app.health.look(&app.store).await;
    let report = app
        .health
        .report(BTreeMap::from([("store".to_owned(), look.store)]));
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
        let health = Health::default();
        let first = health.look(&store).await;
        assert_eq!(first.store.status, HealthStatus::Ok);
        store.close().await;
        assert_eq!(
            health.look(&store).await.ended,
            first.ended,
            "a moment ago it worked"
        );
        health.last.lock().await.as_mut().unwrap().ended -= REMEMBERED;
        let failed = health.look(&store).await;
        assert_eq!(failed.store.status, HealthStatus::Unavailable);
        assert_ne!(
            health.look(&store).await.ended,
            failed.ended,
            "it is looked at again"
        );
        let report = health.report(BTreeMap::from([("store".to_owned(), failed.store)]));
        assert_eq!(report.status, HealthStatus::Unavailable);
    }
}
