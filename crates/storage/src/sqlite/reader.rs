//! A few read-only connections, used from threads that may block. Each piece of work sees one
//! snapshot: what was durable when it began, and nothing newer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::Outcome;
use crate::StoreError;
use crate::error::cause;

/// Reads that run at once. They wait for the disk now and then, so a few more than there are
/// cores of a small machine.
const CONNECTIONS: usize = 4;

/// How long a read may wait for a connection. A crowd that asks at once is served one after the other: so many connections
/// answer some ten thousand small questions in a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads that may wait, at about a kilobyte each; beyond it the answer is `Unavailable` at once.
const WAITING: usize = 65_536;

/// Searches that run at once: short reads find a connection meanwhile.
const SEARCHES: usize = CONNECTIONS / 2;

/// How long a search may wait for those before it.
const SEARCH_PATIENCE: Duration = Duration::from_secs(5);

/// Steps of SQLite's machine between two looks at the clock: some microseconds.
const STEPS: i32 = 1_000;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    /// One permit for each read that runs or waits.
    admitted: Semaphore,
    /// One permit for each search that runs.
    searches: Semaphore,
}

impl Readers {
    pub(super) fn open(
        connect: impl Fn() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Self> {
        let idle: Vec<_> = (0..CONNECTIONS)
            .map(|_| connect())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            admitted: Semaphore::new(CONNECTIONS + WAITING),
            searches: Semaphore::new(SEARCHES),
        })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(None, work).await
    }

    /// Runs what may take long, in its turn and for `time` at most; then the answer is `Unavailable`.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = tokio::time::timeout(SEARCH_PATIENCE, self.searches.acquire())
            .await
            .map_err(|_| StoreError::unavailable("too many searches are waiting"))?
            .map_err(|_| StoreError::unavailable("the store is closed"))?;
        self.run(Some(time), work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        time: Option<Duration>,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_| StoreError::unavailable("too many reads are waiting"))?;
        let connections = Arc::clone(&self.connections);
        let permit = tokio::time::timeout(PATIENCE, connections.acquire_owned())
            .await
            .map_err(|_| StoreError::unavailable("reads wait for too long"))?
            .map_err(|_| StoreError::unavailable("the store is closed"))?;
        let idle = Arc::clone(&self.idle);
        let read = move || {
            let connection = idle.lock().pop();
            let mut lease = Lease { idle, connection };
            let result = lease.snapshot(time, work).map_err(StoreError::from);
            // The connection goes back before the permit does.
            drop(lease);
            drop(permit);
            result
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Internal(cause(error))),
        }
    }

    /// Reads that run or wait.
    pub(super) fn reads(&self) -> u64 {
        (CONNECTIONS + WAITING).saturating_sub(self.admitted.available_permits()) as u64
    }

    /// Ends waiting reads and closes the idle connections; those at work finish first.
    pub(super) fn close(&self) {
        self.searches.close();
        self.connections.close();
        self.idle.lock().clear();
    }
}

/// A connection on loan, which goes back even if the work panics.
struct Lease {
    idle: Arc<Mutex<Vec<Connection>>>,
    connection: Option<Connection>,
}

impl Lease {
    fn snapshot<T>(
        &mut self,
        time: Option<Duration>,
        work: impl FnOnce(&Connection) -> Outcome<T>,
    ) -> Outcome<T> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::unavailable("the store is closed").into());
        };
        let deadline = time.map(|time| Instant::now() + time);
        let is_over = deadline.map(|deadline| move || Instant::now() >= deadline);
        // Without a time this takes the clock of the last search away.
        connection.progress_handler(STEPS, is_over)?;
        let transaction = connection.transaction()?;
        let value = work(&transaction)?;
        transaction.finish()?;
        Ok(value)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.idle.lock().extend(self.connection.take());
    }
}
