//! What is counted of notifications.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::NotificationKind;

/// Counters, from the start of the process.
#[derive(Debug, Default)]
pub struct Counts {
    added: [AtomicU64; NotificationKind::ALL.len()],
    entries: AtomicU64,
    failures: AtomicU64,
    lost_positions: AtomicU64,
}

impl Counts {
    pub(super) fn added(&self, kind: &str) {
        let known = NotificationKind::ALL.iter().zip(&self.added);
        for (known, count) in known {
            if known.name() == kind {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn read_entries(&self, entries: usize) {
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost_position(&self) {
        self.lost_positions.fetch_add(1, Ordering::Relaxed);
    }

    /// Notifications that were stored, by kind.
    pub fn stored(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let kinds = NotificationKind::ALL.into_iter().zip(&self.added);
        kinds.map(|(kind, count)| (kind.name(), count.load(Ordering::Relaxed)))
    }

    /// Entries of logs that were read.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Times that reading or storing failed; it is tried again.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Times that the logs couldn't be read on from where they were, so that something was left out.
    pub fn lost_positions(&self) -> u64 {
        self.lost_positions.load(Ordering::Relaxed)
    }
}
