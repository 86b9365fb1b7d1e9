//! What is counted of the jobs of one kind.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// What is counted of the jobs of one kind, in one process.
#[derive(Default)]
pub struct KindCounts {
    running: AtomicUsize,
    succeeded: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    observer: OnceLock<Observer>,
}

impl KindCounts {
    /// Has `observer` called with the duration of each run; only the first one stays.
    pub fn observe(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        if self.observer.set(Box::new(observer)).is_err() {
            tracing::error!("the runs of a kind of job are observed already");
        }
    }

    /// Runs that aren't over.
    pub fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    /// Runs that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// Runs that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Of the failures, those after which the job was put off.
    pub fn retried(&self) -> u64 {
        self.retried.load(Relaxed)
    }

    /// Jobs that became dead letters.
    pub fn dead(&self) -> u64 {
        self.dead.load(Relaxed)
    }

    /// A run begins, and goes on until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        Running(self.clone())
    }

    pub(crate) fn ran(&self, took: Duration, succeeded: bool) {
        let count = if succeeded {
            &self.succeeded
        } else {
            &self.failed
        };
        count.fetch_add(1, Relaxed);
        if let Some(observer) = self.observer.get() {
            observer(took);
        }
    }

    pub(crate) fn count_retry(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_dead(&self) {
        self.dead.fetch_add(1, Relaxed);
    }
}

/// A run that isn't over.
pub(crate) struct Running(Arc<KindCounts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}
