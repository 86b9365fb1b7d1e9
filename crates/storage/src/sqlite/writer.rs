//! Group commit. One thread owns the connection that writes; it takes whatever is queued, runs
//! each job in a savepoint of one transaction, commits, and only then completes the jobs, in the
//! order in which they ran. The wait for the disk is what gathers the next group, so a lone job
//! waits for nobody and a crowd shares one flush.
//!
//! What must stay true: a job is completed exactly once, and with success only if its transaction
//! is on the disk; a job that fails leaves nothing behind and harms no other; the thread outlives
//! every panic of a job.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs::File;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use protocol::Timestamp;
use rusqlite::Connection;

use super::job::{Counts, Job, Permit, Submitted};
use super::{Failure, Outcome};
use crate::StoreError;

/// Jobs that may wait, more than a burst of a thousand from each of a few connections.
const QUEUED_JOBS: usize = 8_192;

/// Bytes that the waiting jobs may hold.
const QUEUED_BYTES: usize = 32 << 20;

/// Jobs of one transaction. More would save little and make the first of them wait for the last.
const BATCH: usize = 512;

/// Bytes of a page.
const PAGE_BYTES: u64 = 4 << 10;

/// Pages of the write-ahead log, 4 KiB each, from which on it is folded into the database after a
/// commit. Larger makes restarts and reads slower, smaller writes hot pages more often.
const CHECKPOINT_PAGES: usize = 4_000;

/// Pages of the log from which on it begins anew, for which the reads that still need it are waited for: while one read
/// follows the other it would grow for ever.
const RESTART_PAGES: usize = 2 * CHECKPOINT_PAGES;

/// Work that is too long for one transaction, in steps: does one and returns true if there is more.
/// It runs when the thread starts and after a job asked for it.
pub(crate) type Maintenance = fn(&Transaction<'_>) -> Outcome<bool>;

type BeforeCommit = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()>>;

/// The open transaction that a job writes to.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    at: Timestamp,
    before_commit: RefCell<Vec<(i64, BeforeCommit)>>,
    maintenance: Cell<bool>,
}

impl Transaction<'_> {
    /// When the transaction began, never before an earlier one: times rise with `seq`.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    /// Runs `work` behind the last job of the transaction, in ascending order of `position`, and in
    /// the order of asking where that is equal. For a full-text index: it is flushed at every
    /// savepoint and whenever a smaller rowid follows a larger one, and each flush costs as much as
    /// a whole group should. A failure fails the whole transaction. Forgotten if the present job
    /// fails.
    pub(crate) fn before_commit(
        &self,
        position: i64,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()> + 'static,
    ) {
        self.before_commit
            .borrow_mut()
            .push((position, Box::new(work)));
    }

    /// Asks for [`Maintenance`] from the next transaction on.
    pub(crate) fn needs_maintenance(&self) {
        self.maintenance.set(true);
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// The queue to the thread, and its handle.
pub(super) struct Writer {
    queue: RwLock<Option<SyncSender<Box<dyn Job>>>>,
    counts: Arc<Counts>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which keeps `lock` until it ends.
    pub(super) fn start(
        connection: Connection,
        lock: File,
        maintenance: Maintenance,
    ) -> Result<Self, Failure> {
        let (queue, jobs) = sync_channel(QUEUED_JOBS);
        let log_pages = Arc::new(AtomicUsize::new(0));
        let counts = Arc::<Counts>::default();
        let mut committer = Committer {
            connection,
            jobs,
            batch: Vec::with_capacity(BATCH),
            maintenance,
            maintenance_due: true,
            began: Timestamp::from_unix_ms(0),
            failing: false,
            log_pages: Arc::clone(&log_pages),
            counts: Arc::clone(&counts),
            checkpoint_at: CHECKPOINT_PAGES,
        };
        let shown = Arc::clone(&counts);
        // Instead of SQLite's own checkpoint, which would run inside COMMIT, before the acks.
        committer
            .connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                let pages = usize::try_from(pages).unwrap_or(0);
                log_pages.store(pages, Ordering::Relaxed);
                shown
                    .wal_bytes
                    .store(pages as u64 * PAGE_BYTES, Ordering::Relaxed);
                Ok(())
            }))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                committer.run();
                drop(lock);
            })?;
        Ok(Self {
            queue: RwLock::new(Some(queue)),
            counts,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let permit = Permit::take(&self.counts, bytes);
        let full = self.counts.queued_bytes.load(Ordering::Relaxed) > QUEUED_BYTES;
        let job: Box<dyn Job> = Box::new(Submitted::new(work, done, permit));
        let sent = match &*self.queue.read() {
            Some(_) if full => Err(TrySendError::Full(job)),
            Some(queue) => queue.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        // Behind the lock: a completion may submit the next job.
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                job.complete(Err(StoreError::unavailable("the write queue is full")));
            }
            Err(TrySendError::Disconnected(job)) => {
                job.complete(Err(StoreError::unavailable("the store is closed")));
            }
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Lets the thread finish what is queued, and waits for its end.
    pub(super) async fn close(&self) {
        *self.queue.write() = None;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer's thread ended by a panic");
            }
        }
    }
}

/// The thread's own state.
struct Committer {
    connection: Connection,
    jobs: Receiver<Box<dyn Job>>,
    batch: Vec<Box<dyn Job>>,
    maintenance: Maintenance,
    maintenance_due: bool,
    /// When the last transaction began.
    began: Timestamp,
    /// True if it failed.
    failing: bool,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicUsize>,
    counts: Arc<Counts>,
    /// With how many it is next folded in.
    checkpoint_at: usize,
}

impl Committer {
    fn run(mut self) {
        while self.gather() {
            let committed = self.transact();
            if committed.is_ok() && !self.batch.is_empty() {
                self.counts.transactions.fetch_add(1, Ordering::Relaxed);
                let written = self.batch.len() as u64;
                self.counts.written.fetch_add(written, Ordering::Relaxed);
            }
            for job in self.batch.drain(..) {
                let committed = committed.clone();
                if catch_unwind(AssertUnwindSafe(|| job.complete(committed))).is_err() {
                    tracing::error!("the completion of a write panicked");
                }
            }
            self.fold_log_in();
        }
        self.checkpoint("TRUNCATE");
        if let Err((_, error)) = self.connection.close() {
            tracing::error!(%error, "the database didn't close cleanly");
        }
    }

    /// Takes all that is queued, waiting only if there is nothing to do. False at the end.
    fn gather(&mut self) -> bool {
        if !self.maintenance_due {
            match self.jobs.recv() {
                Ok(job) => self.batch.push(job),
                Err(_) => return false,
            }
        }
        while self.batch.len() < BATCH {
            match self.jobs.try_recv() {
                Ok(job) => self.batch.push(job),
                Err(TryRecvError::Disconnected) if self.batch.is_empty() => return false,
                Err(_) => break,
            }
        }
        true
    }

    /// Runs the batch in one transaction.
    fn transact(&mut self) -> Result<(), StoreError> {
        let result = self.run_batch();
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction couldn't be rolled back");
        }
        let failed_before = std::mem::replace(&mut self.failing, result.is_err());
        let Err(failure) = result else {
            if failed_before {
                tracing::info!("writes succeed again");
            }
            return Ok(());
        };
        let error = StoreError::from(failure);
        // A full disk fails thousands of groups a second.
        if !failed_before {
            tracing::error!(error = error.source(), "writes fail");
        }
        // Trying again is for those who write; here it would be a busy loop.
        self.maintenance_due = false;
        Err(match error {
            StoreError::Internal(cause) => StoreError::Unavailable(cause),
            error => error,
        })
    }

    fn run_batch(&mut self) -> Outcome<()> {
        // The system's clock may have been set back.
        self.began = self.began.max(Timestamp::now());
        let connection = &self.connection;
        execute(connection, "BEGIN IMMEDIATE")?;
        let transaction = Transaction {
            connection,
            at: self.began,
            before_commit: RefCell::default(),
            maintenance: Cell::new(false),
        };
        for job in &mut self.batch {
            run_job(&transaction, |transaction| job.run(transaction))?;
        }
        if self.maintenance_due {
            run_job(&transaction, |transaction| self.maintain(transaction))?;
        }
        let mut before_commit = transaction.before_commit.take();
        before_commit.sort_by_key(|(position, _)| *position);
        for (_, work) in before_commit {
            work(connection)?;
        }
        execute(connection, "COMMIT")?;
        self.maintenance_due = transaction.maintenance.get();
        Ok(())
    }

    /// One step of maintenance; returns true if what it wrote is to be kept.
    fn maintain(&self, transaction: &Transaction<'_>) -> bool {
        match (self.maintenance)(transaction) {
            Ok(more) => {
                if more {
                    transaction.needs_maintenance();
                }
                true
            }
            Err(failure) => {
                let error = StoreError::from(failure);
                tracing::error!(error = error.source(), "maintenance of the store failed");
                false
            }
        }
    }

    /// Moves the write-ahead log to the database when it has become long. If reads still need what is in it, that is
    /// tried again only when it has grown by another part, for it takes time away from those who write.
    fn fold_log_in(&mut self) {
        let pages = self.log_pages.swap(0, Ordering::Relaxed);
        let (mode, part) = match pages {
            0 => return,
            RESTART_PAGES.. => ("RESTART", CHECKPOINT_PAGES),
            CHECKPOINT_PAGES.. => ("PASSIVE", CHECKPOINT_PAGES / 4),
            _ => {
                // It began anew.
                self.checkpoint_at = CHECKPOINT_PAGES;
                return;
            }
        };
        if pages >= self.checkpoint_at {
            self.checkpoint(mode);
            self.checkpoint_at = pages + part;
        }
    }

    /// Moves what is in the write-ahead log to the database, as far as readers allow.
    fn checkpoint(&self, mode: &str) {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        if let Err(error) = self.connection.query_row(&sql, [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log couldn't be folded in");
        }
    }
}

/// Runs one job so that it leaves nothing behind unless it says so. An error means that the whole
/// transaction is lost.
fn run_job(
    transaction: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> bool,
) -> Outcome<()> {
    execute(transaction, "SAVEPOINT job")?;
    let deferred = transaction.before_commit.borrow().len();
    let keep = catch_unwind(AssertUnwindSafe(|| job(transaction))).unwrap_or_else(|_| {
        tracing::error!("a write panicked");
        false
    });
    // If SQLite has taken back the whole transaction by itself, as it does when the disk fails in
    // the middle of a statement, the savepoint is gone and what follows fails.
    if !keep {
        transaction.before_commit.borrow_mut().truncate(deferred);
        execute(transaction, "ROLLBACK TO job")?;
    }
    execute(transaction, "RELEASE job")?;
    Ok(())
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
