//! What the audit log counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use telemetry::Histogram;

/// Counters since start, and gauges as of the last look.
#[derive(Default)]
pub struct Counts {
    recorded: AtomicU64,
    suppressed: AtomicU64,
    dropped: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    resent: AtomicU64,
    torn: AtomicU64,
    deleted: AtomicU64,
    spooled_bytes: AtomicU64,
    oldest_seconds: AtomicU64,
    waiting: AtomicU64,
    pending: AtomicU64,
    batch_seconds: Option<Histogram>,
}

/// A counter, by the names of what adds to it and what reads it.
macro_rules! counters {
    ($($field:ident $add:ident $doc:literal $read:literal)*) => {
        $(
            #[doc = $doc]
            pub fn $add(&self, count: u64) {
                self.$field.fetch_add(count, Relaxed);
            }

            #[doc = $read]
            pub fn $field(&self) -> u64 {
                self.$field.load(Relaxed)
            }
        )*
    };
}

/// A gauge, likewise.
macro_rules! gauges {
    ($($field:ident $doc:literal)*) => {
        $(
            #[doc = $doc]
            pub fn $field(&self) -> u64 {
                self.$field.load(Relaxed)
            }
        )*
    };
}

impl Counts {
    /// Nothing yet. How long batches take is recorded in `batch_seconds`.
    pub fn new(batch_seconds: Histogram) -> Self {
        Self {
            batch_seconds: Some(batch_seconds),
            ..Self::default()
        }
    }

    counters! {
        recorded record "Entries were accepted." "Entries accepted."
        suppressed suppress "Refusals weren't recorded, as their actor had too many." "Refusals that weren't recorded."
        dropped drop_entries "Entries were lost." "Entries lost."
        resent resend "Batches were sent again, as Redis had lost them." "Batches sent again."
        deleted delete "Entries were removed for their age." "Entries removed for their age."
    }

    gauges! {
        stored "Entries written here."
        duplicates "Entries that were there already when they were written here."
        spooled_bytes "Bytes in the spool."
        torn "Segments of the spool that couldn't be read to their end."
        oldest_seconds "The age of the oldest batch that isn't known to be stored."
        waiting "Batches in the streams."
        pending "Of these, those that a consumer was given."
    }

    /// A batch was written.
    pub fn store(&self, new: u64, duplicates: u64, took: Duration) {
        self.stored.fetch_add(new, Relaxed);
        self.duplicates.fetch_add(duplicates, Relaxed);
        if let Some(seconds) = &self.batch_seconds {
            seconds.record(took);
        }
    }

    /// Bytes in the spool.
    pub fn set_spooled(&self, bytes: u64) {
        self.spooled_bytes.store(bytes, Relaxed);
    }

    /// Segments of the spool with an end that can't be read.
    pub fn set_torn(&self, segments: u64) {
        self.torn.store(segments, Relaxed);
    }

    /// The age of the oldest batch that isn't known to be stored.
    pub fn set_oldest(&self, age: Duration) {
        self.oldest_seconds.store(age.as_secs(), Relaxed);
    }

    /// Batches in the streams, and of them those that a consumer was given.
    pub fn set_lengths(&self, waiting: u64, pending: u64) {
        self.waiting.store(waiting, Relaxed);
        self.pending.store(pending, Relaxed);
    }
}
