//! A write that was accepted, and what all of them may hold in memory together.
//!
//! What must stay true: a job is completed exactly once, whatever panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::super::ids::new_id;
use super::super::super::{Appended, Change, NewEntry};
use crate::StoreError;

/// Jobs that may wait, more than a burst of a thousand from each of a few connections.
const QUEUED_JOBS: usize = 8_192;

/// Bytes that the waiting jobs may hold.
const QUEUED_BYTES: usize = 32 << 20;

/// How long a job may wait for its turn. Only a store that is away makes anybody wait so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a job calls with its result.
pub type Done = Box<dyn FnOnce(Result<Appended, StoreError>) + Send>;

/// Something to be written.
pub struct Job {
    pub entry: NewEntry,
    /// The id of its entry in the log.
    pub id: String,
    admitted: Instant,
    /// Behind a lock so that jobs may be read from several tasks; nobody waits for it.
    done: Mutex<Option<Done>>,
    _permit: Permit,
}

impl Job {
    pub fn new(entry: NewEntry, done: Done, permit: Permit) -> Self {
        Self {
            entry,
            id: new_id(),
            admitted: Instant::now(),
            done: Mutex::new(Some(done)),
            _permit: permit,
        }
    }

    /// True if it has waited so long that nobody is served by it any more.
    pub fn is_stale(&self) -> bool {
        self.admitted.elapsed() > PATIENCE
    }

    pub fn is_message(&self) -> bool {
        matches!(self.entry.change, Change::Send { .. })
    }

    pub fn complete(mut self, result: Result<Appended, StoreError>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<Appended, StoreError>) {
        let Some(done) = self.done.get_mut().take() else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
            tracing::error!("the completion of a write panicked");
        }
    }
}

/// Only a fault of this program, or the end of its runtime, drops a job that isn't completed.
impl Drop for Job {
    fn drop(&mut self) {
        if self.done.get_mut().is_some() {
            self.finish(Err(StoreError::unavailable("the writer has stopped")));
        }
    }
}

/// Completes jobs with an error.
pub fn fail(jobs: impl IntoIterator<Item = Job>, error: impl Into<StoreError>) {
    let error = error.into();
    for job in jobs {
        job.complete(Err(error.clone()));
    }
}

/// What the accepted jobs hold, from their admission until their completion.
#[derive(Default)]
pub struct Capacity {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
    closed: AtomicBool,
    emptied: Notify,
}

impl Capacity {
    /// A permit for a job of so many bytes, and whether it may be accepted.
    pub fn take(self: &Arc<Self>, bytes: usize) -> (Permit, Result<(), StoreError>) {
        let jobs = self.jobs.fetch_add(1, Ordering::AcqRel);
        let held = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let admitted = if self.closed.load(Ordering::Acquire) {
            Err(StoreError::unavailable("the store is closed"))
        } else if jobs >= QUEUED_JOBS || held + bytes > QUEUED_BYTES {
            Err(StoreError::unavailable("the write queue is full"))
        } else {
            Ok(())
        };
        let capacity = Arc::clone(self);
        (Permit { capacity, bytes }, admitted)
    }

    /// How many jobs are accepted and not completed, and how many bytes they hold.
    pub fn used(&self) -> (u64, u64) {
        let jobs = self.jobs.load(Ordering::Relaxed) as u64;
        (jobs, self.bytes.load(Ordering::Relaxed) as u64)
    }

    /// Refuses what comes from now on, and waits until all that was accepted is completed.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        loop {
            let emptied = self.emptied.notified();
            if self.jobs.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A job's part of a [`Capacity`].
pub struct Permit {
    capacity: Arc<Capacity>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.capacity.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.capacity.jobs.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.capacity.emptied.notify_waiters();
        }
    }
}
