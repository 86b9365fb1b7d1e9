//! What a store has counted, as an operator reads it.

use super::{Backend, MessageStore, Operation};
use std::time::Duration;

/// What a store holds now, and what it has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Writes that were accepted and aren't completed.
    pub queued_writes: u64,
    /// What these hold in memory, in bytes.
    pub queued_bytes: u64,
    /// Writes that were refused because the queue was full.
    pub refused_writes: u64,
    /// Groups in which writes were made durable: transactions of the embedded store, of a fleet's store rounds of
    /// messages and transactions of changes.
    pub groups: u64,
    /// Writes in them.
    pub grouped_writes: u64,
    /// Of the embedded store alone.
    pub embedded: Option<EmbeddedStats>,
    /// Of a fleet's store alone.
    pub fleet: Option<FleetStats>,
}

/// What the embedded store counts beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Reads that run or wait for a connection.
    pub reads: u64,
    /// The size of the write-ahead log after the last commit, in bytes.
    pub wal_bytes: u64,
}

/// What the store of a fleet counts beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetStats {
    /// Messages that were stored.
    pub stored: u64,
    /// Messages that had been stored before under the same `clientId`.
    pub duplicates: u64,
    /// Messages whose `seq` turned out to be another entry's and that were given a new one.
    pub collided: u64,
    /// Attempts to insert a message whose outcome wasn't known, and had to be found out.
    pub unknown: u64,
    /// Messages that failed.
    pub failed: u64,
    /// Gaps in logs that were filled because nobody wrote them for seconds.
    pub gaps_filled: u64,
    /// Reserved `seq`s that weren't needed and were filled at once.
    pub returned: u64,
    /// Rooms that are being watched because their logs have a gap.
    pub rooms_with_gaps: u64,
    /// Counters that were missing in Redis and were set from the log.
    pub counters_restored: u64,
    /// Reservations that were made from the log because Redis couldn't be asked.
    pub degraded_reservations: u64,
}

impl MessageStore {
    /// What the store holds and has counted. Cheap; the parts are read one after the other.
    pub fn stats(&self) -> StoreStats {
        match &self.backend {
            Backend::Sqlite(store) => store.stats(),
            Backend::Mongodb(store) => store.stats(),
        }
    }

    /// Operations of a kind that failed for a reason that isn't the requester's.
    pub fn failures(&self, operation: Operation) -> u64 {
        self.operations.failures(operation)
    }

    /// Has `observer` called with each operation that ends and how long it took. It must not block. Only the first
    /// observer stays.
    pub fn observe(&self, observer: impl Fn(Operation, Duration) + Send + Sync + 'static) {
        self.operations.observe(Box::new(observer));
    }
}
