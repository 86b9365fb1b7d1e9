//! Jobs of the writer's thread, and what they hold in memory together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Outcome;
use super::writer::Transaction;
use crate::{StoreError, StoreStats};

/// What waits for the thread, and what it has done.
#[derive(Default)]
pub(super) struct Counts {
    pub queued: AtomicUsize,
    pub queued_bytes: AtomicUsize,
    pub refused: AtomicU64,
    pub transactions: AtomicU64,
    pub written: AtomicU64,
    /// The size of the write-ahead log after the last commit.
    pub wal_bytes: AtomicU64,
}

impl Counts {
    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            queued_writes: self.queued.load(Ordering::Relaxed) as u64,
            queued_bytes: self.queued_bytes.load(Ordering::Relaxed) as u64,
            refused_writes: self.refused.load(Ordering::Relaxed),
            groups: self.transactions.load(Ordering::Relaxed),
            grouped_writes: self.written.load(Ordering::Relaxed),
            ..StoreStats::default()
        }
    }
}

/// What a job holds of the queue's capacity, from its submission until its completion.
pub(super) struct Permit {
    counts: Arc<Counts>,
    bytes: usize,
}

impl Permit {
    pub(super) fn take(counts: &Arc<Counts>, bytes: usize) -> Self {
        counts.queued.fetch_add(1, Ordering::Relaxed);
        counts.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self {
            counts: Arc::clone(counts),
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.queued.fetch_sub(1, Ordering::Relaxed);
        self.counts
            .queued_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A job on its way, whatever its types.
pub(super) trait Job: Send {
    /// Runs in the transaction; returns true if what it wrote is to be kept.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Reports the result, or why the transaction failed.
    fn complete(self: Box<Self>, committed: Result<(), StoreError>);
}

pub(super) struct Submitted<W, T, D: FnOnce(Result<T, StoreError>)> {
    work: Option<W>,
    result: Option<Result<T, StoreError>>,
    done: Option<D>,
    _permit: Permit,
}

impl<W, T, D> Job for Submitted<W, T, D>
where
    W: FnOnce(&Transaction<'_>) -> Outcome<T> + Send,
    T: Send,
    D: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        let result = work(transaction).map_err(StoreError::from);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn complete(mut self: Box<Self>, committed: Result<(), StoreError>) {
        let panicked = || Err(StoreError::internal("the job panicked"));
        let result = self.result.take().unwrap_or_else(panicked);
        if let Some(done) = self.done.take() {
            done(committed.and(result));
        }
    }
}

impl<W, T, D: FnOnce(Result<T, StoreError>)> Submitted<W, T, D> {
    pub(super) fn new(work: W, done: D, permit: Permit) -> Self {
        Self {
            work: Some(work),
            result: None,
            done: Some(done),
            _permit: permit,
        }
    }
}

/// Only a thread that dies of a fault of its own drops a job that isn't completed.
impl<W, T, D: FnOnce(Result<T, StoreError>)> Drop for Submitted<W, T, D> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(StoreError::unavailable("the writer has stopped")));
        }
    }
}
