//! Counters of a client or a subscriber.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::RedisError;

/// Counters since start; read them at any time.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) connects: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) resubscribed: AtomicU64,
    pub(crate) moved: AtomicU64,
    waiting: AtomicUsize,
    failed: [AtomicU64; RedisError::KINDS.len()],
}

impl Stats {
    /// Connections made, the first ones included.
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }
    /// Connections that broke, timed out without an answer, or were closed by Redis.
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
    /// Commands without a result yet: those to be sent, and those sent and not answered.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
    /// Commands that failed, by the kind of the error ([`RedisError::kind`]).
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failed.iter().map(|count| count.load(Relaxed));
        RedisError::KINDS.into_iter().zip(counts)
    }
    /// Answers that redirected to another master (`MOVED`, `ASK`).
    pub fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }
}

impl Stats {
    /// A command failed.
    pub(crate) fn count_failure(&self, error: &RedisError) {
        let index = RedisError::KINDS.iter().position(|k| *k == error.kind());
        if let Some(index) = index {
            count(&self.failed[index]);
        }
    }

    /// So many commands begin to wait for their results, until this is dropped.
    pub(crate) fn wait(&self, commands: usize) -> Waiting<'_> {
        self.waiting.fetch_add(commands, Relaxed);
        Waiting {
            stats: self,
            commands,
        }
    }
}

pub(crate) struct Waiting<'a> {
    stats: &'a Stats,
    commands: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.stats.waiting.fetch_sub(self.commands, Relaxed);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
