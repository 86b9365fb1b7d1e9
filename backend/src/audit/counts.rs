//! What the audit log counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since start, and gauges as of the last look.
#[derive(Debug, Default)]
pub struct Counts {
    recorded: AtomicU64,
    suppressed: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// An entry was accepted.
    pub fn record(&self) {
        self.recorded.fetch_add(1, Relaxed);
    }

    /// A refusal wasn't recorded, as its actor has had too many.
    pub fn suppress(&self) {
        self.suppressed.fetch_add(1, Relaxed);
    }

    /// Entries were lost.
    pub fn drop_entries(&self, entries: u64) {
        self.dropped.fetch_add(entries, Relaxed);
    }

    /// Entries accepted.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Refusals that weren't recorded.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    /// Entries lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}
