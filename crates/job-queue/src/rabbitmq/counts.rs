//! What is counted of the broker.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

/// What is counted of the broker, in one process.
#[derive(Default)]
pub struct BrokerCounts {
    connects: AtomicU64,
    published: AtomicU64,
    unpublished: AtomicU64,
    publishing: AtomicBool,
    consuming: AtomicBool,
    depths: Mutex<BTreeMap<String, QueueDepth>>,
}

/// What waits in a queue, as it was a moment ago.
#[derive(Debug, Clone, Default)]
pub struct QueueDepth {
    /// Jobs that nobody has.
    pub waiting: u32,
    /// Those that failed for good and aren't in the tables yet.
    pub dead: u32,
    /// When the one had been enqueued that was taken last here, in milliseconds since 1970.
    pub last_taken: Option<i64>,
}

impl BrokerCounts {
    /// Connections made.
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }

    /// Messages that the broker confirmed.
    pub fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Messages that it didn't take, or not in time; they are published again.
    pub fn unpublished(&self) -> u64 {
        self.unpublished.load(Relaxed)
    }

    /// Whether there is a connection for publishing.
    pub fn is_publishing(&self) -> bool {
        self.publishing.load(Relaxed)
    }

    /// Whether there is a connection for jobs to run.
    pub fn is_consuming(&self) -> bool {
        self.consuming.load(Relaxed)
    }

    /// What waits, by kind; of a process that runs them.
    pub fn depths(&self) -> BTreeMap<String, QueueDepth> {
        self.depths.lock().clone()
    }

    pub(super) fn connected(&self) {
        self.connects.fetch_add(1, Relaxed);
    }

    pub(super) fn publish(&self, confirmed: bool) {
        let count = if confirmed {
            &self.published
        } else {
            &self.unpublished
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn set_publishing(&self, publishing: bool) {
        self.publishing.store(publishing, Relaxed);
    }

    pub(super) fn set_consuming(&self, consuming: bool) {
        self.consuming.store(consuming, Relaxed);
        if !consuming {
            // What was seen says nothing any more.
            self.depths.lock().clear();
        }
    }

    pub(super) fn taken(&self, kind: &str, enqueued_at_ms: i64) {
        let mut depths = self.depths.lock();
        if let Some(depth) = depths.get_mut(kind) {
            depth.last_taken = Some(enqueued_at_ms);
        }
    }

    pub(super) fn saw(&self, kind: &str, waiting: u32, dead: u32) {
        let mut depths = self.depths.lock();
        let depth = depths.entry(kind.to_owned()).or_default();
        (depth.waiting, depth.dead) = (waiting, dead);
    }
}
