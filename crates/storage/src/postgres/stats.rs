//! What an operator sees of the pools.

use std::iter::Sum;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;
use super::{Access, Postgres};

/// The connections of one purpose to one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// How many there may be.
    pub size: u64,
    /// Open now.
    pub open: u64,
    /// Of these, at work.
    pub in_use: u64,
    /// Calls that wait for one.
    pub waiting: u64,
    /// Calls that got none in time, or of which too many waited.
    pub not_acquired: u64,
}

impl Sum for PoolStats {
    fn sum<I: Iterator<Item = Self>>(pools: I) -> Self {
        pools.fold(Self::default(), |sum, pool| Self {
            size: sum.size + pool.size,
            open: sum.open + pool.open,
            in_use: sum.in_use + pool.in_use,
            waiting: sum.waiting + pool.waiting,
            not_acquired: sum.not_acquired + pool.not_acquired,
        })
    }
}

/// What a replica is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReplicaState {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// It answers reads.
    InRotation,
    /// Left out, as it is too far behind.
    Lagging,
    /// Left out, as it doesn't answer, or isn't a replica.
    Failed,
}

impl ReplicaState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::InRotation, Self::Lagging, Self::Failed];

    /// Its name as the value of a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InRotation => "in_rotation",
            Self::Lagging => "lagging",
            Self::Failed => "failed",
        }
    }
}

/// A replica as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStats {
    /// What it is doing.
    pub state: ReplicaState,
    /// For how long it hasn't had what the primary has; `None` while that isn't known.
    pub lag: Option<Duration>,
    /// How many bytes of the primary's write-ahead log it lacks; likewise.
    pub lag_bytes: Option<u64>,
    /// Connections for reads.
    pub pool: PoolStats,
}

/// What the pools of an instance hold, and what was asked of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresStats {
    /// True if the primary answered when it was last asked.
    pub primary_answers: bool,
    /// Times that it began not to answer.
    pub missed: u64,
    /// Connections to the primary for what writes.
    pub writes: PoolStats,
    /// Connections to the primary for reads that no replica may answer.
    pub primary_reads: PoolStats,
    /// In the order of the configuration.
    pub replicas: Vec<ReplicaStats>,
    /// Calls by what they were for and how they ended.
    pub calls: Vec<(&'static str, &'static str, u64)>,
    /// Reads that a replica failed to answer and that were asked of the primary.
    pub redirected: u64,
}

impl PostgresStats {
    /// Grows when the primary can't be asked: calls that didn't succeed, and times that it didn't answer who watches it.
    pub fn troubles(&self) -> u64 {
        let failed = self
            .calls
            .iter()
            .filter(|(_, outcome, _)| *outcome != OUTCOMES[0]);
        self.missed + failed.map(|(.., count)| count).sum::<u64>()
    }
}

/// Something that took time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresObservation {
    /// The wait for a connection.
    Acquired,
    /// The statements of a read.
    Read,
    /// The statements of a write.
    Written,
}

impl PostgresObservation {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Acquired, Self::Read, Self::Written];
}

type Observer = Box<dyn Fn(PostgresObservation, Duration) + Send + Sync>;

const ACCESSES: [&str; 2] = ["read", "write"];
const OUTCOMES: [&str; 3] = ["succeeded", "unavailable", "failed"];

/// Counts calls.
#[derive(Default)]
pub(super) struct Counts {
    observer: OnceLock<Observer>,
    ended: [[AtomicU64; OUTCOMES.len()]; ACCESSES.len()],
    redirected: AtomicU64,
    primary_answers: AtomicBool,
    missed: AtomicU64,
}

impl Counts {
    pub(super) fn acquired(&self, took: Duration) {
        if let Some(observer) = self.observer.get() {
            observer(PostgresObservation::Acquired, took);
        }
    }

    pub(super) fn ended<T>(&self, access: Access, took: Duration, result: &Result<T, Failure>) {
        let (index, observation) = match access {
            Access::Read => (0, PostgresObservation::Read),
            Access::Write => (1, PostgresObservation::Written),
        };
        let outcome = match result {
            Ok(_) => 0,
            Err(failure) if failure.is_unavailable() => 1,
            Err(_) => 2,
        };
        self.ended[index][outcome].fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = self.observer.get() {
            observer(observation, took);
        }
    }

    pub(super) fn redirected(&self) {
        self.redirected.fetch_add(1, Ordering::Relaxed);
    }

    /// The primary answered, or why not.
    pub(super) fn primary(&self, failed: Option<&'static str>) {
        let answers = failed.is_none();
        let before = self.primary_answers.swap(answers, Ordering::Relaxed);
        match failed {
            Some(reason) if before => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(reason, "the primary of PostgreSQL doesn't answer");
            }
            None if !before => tracing::info!("the primary of PostgreSQL answers"),
            _ => {}
        }
    }
}

impl Postgres {
    /// Has `observer` called with what took time, from now on; only the first one stays.
    pub fn observe(
        &self,
        observer: impl Fn(PostgresObservation, Duration) + Send + Sync + 'static,
    ) {
        if self.shared.counts.observer.set(Box::new(observer)).is_err() {
            tracing::error!("the calls to PostgreSQL are observed already");
        }
    }

    /// What the pools hold, and what was asked of them.
    pub fn stats(&self) -> PostgresStats {
        let shared = &self.shared;
        let counts = &shared.counts;
        let calls = ACCESSES
            .iter()
            .zip(&counts.ended)
            .flat_map(|(access, ended)| {
                let outcomes = OUTCOMES.iter().zip(ended);
                outcomes.map(|(outcome, count)| (*access, *outcome, count.load(Ordering::Relaxed)))
            });
        PostgresStats {
            primary_answers: counts.primary_answers.load(Ordering::Relaxed),
            missed: counts.missed.load(Ordering::Relaxed),
            writes: shared.writes.stats(),
            primary_reads: shared.primary_reads.stats(),
            replicas: shared.replicas.stats(),
            calls: calls.collect(),
            redirected: counts.redirected.load(Ordering::Relaxed),
        }
    }
}
