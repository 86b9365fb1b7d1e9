//! What a client or a subscriber counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since start; read them at any time.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) connects: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) resubscribed: AtomicU64,
    pub(crate) moved: AtomicU64,
}

impl Stats {
    /// Connections made, the first ones included.
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }
    /// Connections that broke, were given up for want of an answer, or were closed by Redis.
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Relaxed)
    }
    /// Published messages that were received.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
    /// Published messages that were received and dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
    /// Subscriptions that were interrupted and work again.
    pub fn resubscribed(&self) -> u64 {
        self.resubscribed.load(Relaxed)
    }
    /// Answers that sent us to another master (`MOVED`, `ASK`).
    pub fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
