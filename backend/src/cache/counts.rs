//! What the cache counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) memory_hits: Count,
    pub(super) shared_hits: Count,
    pub(super) misses: Count,
    pub(super) loads_failed: Count,
    pub(super) invalidations: Count,
    pub(super) shared_errors: Count,
    pub(super) announced: Count,
}

/// What a cache has counted since the start, and holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads that memory answered.
    pub memory_hits: u64,
    /// Reads that Redis answered.
    pub shared_hits: u64,
    /// Reads that went to the store; those who waited for the same one aren't counted.
    pub misses: u64,
    /// Of these, those that the store couldn't answer.
    pub loads_failed: u64,
    /// Invalidations, of this instance and of others.
    pub invalidations: u64,
    /// Times that Redis couldn't be asked or told.
    pub shared_errors: u64,
    /// Keys of which clients were told.
    pub announced: u64,
    /// Values that were dropped for want of room.
    pub evicted: u64,
    /// Values in memory.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Invalidations that Redis hasn't been told yet.
    pub pending: u64,
}
