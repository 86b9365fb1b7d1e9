//! Health: whether the process works, and whether what it depends on does.
//!
//! What must stay true:
//! - A failure is never hidden by an earlier success: a success is cached only until somebody who uses the dependency meets a
//!   failure, and a failure isn't cached at all.
//! - Nobody waits for a dependency that hangs, but for the first outcome of all: checks run in the background, one of each at a time.
//! - `live` depends on nothing.

mod check;
pub mod probe;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use circuit_breaker::State;
use futures_util::future::join_all;
use job_queue::RabbitMq;
use protocol::{HealthCheck, HealthReport, HealthStatus};
use redis_client::RedisClient;
use storage::{AuditStore, MessageStore, Postgres};

use self::check::{Check, Dependency, LOCAL, REMOTE};
use crate::{circuits::Circuits, fleet::startup::Startup};

/// How long whoever asks waits for a new outcome before they are told the last one. Longer than a dependency takes that works.
const PATIENCE: Duration = Duration::from_millis(3);

/// The health of one server.
pub struct Health {
    started: Instant,
    startup: Arc<Startup>,
    /// True once the server stops.
    draining: AtomicBool,
    /// Of a fleet, by use.
    redis: Vec<(&'static str, RedisClient)>,
    circuits: Arc<Circuits>,
    checks: Vec<Arc<Check>>,
}

impl Health {
    /// The health of a server that starts now.
    pub fn new(
        store: MessageStore,
        startup: Arc<Startup>,
        redis: Vec<(&'static str, RedisClient)>,
        postgres: Option<Postgres>,
        circuits: Arc<Circuits>,
    ) -> Self {
        let cached = if redis.is_empty() { LOCAL } else { REMOTE };
        let mut checks = vec![Check::new("store", Dependency::Store(store), cached)];
        for (name, client) in &redis {
            checks.push(Check::new(name, Dependency::Redis(client.clone()), REMOTE));
        }
        if let Some(postgres) = postgres {
            let dependency = Dependency::Postgres(postgres);
            checks.push(Check::new("postgresql", dependency, REMOTE));
        }
        Self {
            started: Instant::now(),
            startup,
            draining: AtomicBool::new(false),
            redis,
            circuits,
            checks,
        }
    }

    /// With the audit log's file, on a server that is alone.
    #[must_use]
    pub fn with_audit(mut self, store: Option<&AuditStore>) -> Self {
        let check =
            |store: &AuditStore| Check::new("audit", Dependency::Audit(store.clone()), LOCAL);
        self.checks.extend(store.map(check));
        self
    }

    /// With the broker of jobs, if there is one.
    #[must_use]
    pub fn with_broker(mut self, broker: Option<&Arc<RabbitMq>>) -> Self {
        let check = |broker: &Arc<RabbitMq>| {
            Check::new("rabbitmq", Dependency::RabbitMq(broker.clone()), REMOTE)
        };
        self.checks.extend(broker.map(check));
        self
    }

    /// The clients of Redis by their use; none on a single instance.
    pub fn redis(&self) -> &[(&'static str, RedisClient)] {
        &self.redis
    }

    /// The server stops: it isn't ready from here on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The report of a process that works: that it answers says so.
    pub fn live(&self) -> HealthReport {
        self.report(BTreeMap::new())
    }

    /// The report on everything that the server depends on, by name.
    pub async fn ready(&self) -> HealthReport {
        join_all(self.checks.iter().map(|check| check.renew(PATIENCE))).await;
        let mut checks = BTreeMap::new();
        for check in &self.checks {
            let told = check.last().map_or_else(
                || told(HealthStatus::Unavailable, "not checked yet"),
                |outcome| outcome.check,
            );
            checks.insert(check.name.to_owned(), told);
        }
        for (dependency, breaker) in self.circuits.in_use() {
            let message = match breaker.state() {
                State::Closed => continue,
                State::HalfOpen => "the circuit breaker is half-open",
                State::Open => "the circuit breaker is open",
            };
            let told = told(HealthStatus::Degraded, message);
            checks.insert(dependency.name().to_owned(), told);
        }
        for (name, message) in self.startup.missing().into_iter().flatten() {
            checks.insert(name.to_owned(), told(HealthStatus::Unavailable, &message));
        }
        if !self.startup.is_over() {
            let message = "clients are accepted once all dependencies are available";
            let starting = told(HealthStatus::Unavailable, message);
            checks.insert("startup".to_owned(), starting);
        }
        if self.draining.load(Ordering::Acquire) {
            let draining = told(HealthStatus::Unavailable, "the server is stopping");
            checks.insert("draining".to_owned(), draining);
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
}

fn told(status: HealthStatus, message: &str) -> HealthCheck {
    HealthCheck {
        status,
        latency_ms: None,
        message: Some(message.to_owned()),
    }
}
