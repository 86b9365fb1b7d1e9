//! SQLite as a durable store for many tasks: one thread writes and commits in groups, a few
//! connections read. Knows nothing of what is stored.
//!
//! What must stay true: only one process has the directory open; every connection is set up by
//! [`connect`]; nothing writes but the writer's thread.

mod failure;
mod file;
mod job;
mod migrations;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::cause;
use crate::{EmbeddedStats, OpenError, StoreError, StoreStats};

pub(crate) use failure::{Failure, Outcome};
pub(crate) use migrations::{Migrations, Step};
pub(crate) use writer::{Maintenance, Transaction};

use file::DatabaseFile;
use reader::Readers;
use writer::Writer;

/// Statements that each connection keeps prepared: more than there are.
const PREPARED_STATEMENTS: usize = 192;

/// Another program that holds a lock, such as a copy being taken, is waited for this long; all
/// writes wait with it, so it is short.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a search may read. Of a room's own index nearly all are done in a hundredth of that.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// An open database and the lock on its directory.
pub(crate) struct Database {
    file: Arc<DatabaseFile>,
    writer: Writer,
    readers: Readers,
}

impl Database {
    /// As [`open`](Self::open), on a thread that may block.
    pub(crate) async fn start(
        directory: PathBuf,
        name: &'static str,
        migrations: Migrations,
        maintenance: Maintenance,
    ) -> Result<Self, OpenError> {
        let open = move || Self::open(&directory, name, migrations, maintenance);
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::Database(cause(error))),
        }
    }

    /// Opens or creates `<directory>/<name>.db` and brings its schema up to date. Blocks.
    pub(crate) fn open(
        directory: &Path,
        name: &str,
        migrations: Migrations,
        maintenance: Maintenance,
    ) -> Result<Self, OpenError> {
        let lock = lock(directory)?;
        let path = directory.join(format!("{name}.db"));
        let write = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let file = DatabaseFile::open(&path, |draft| {
            let mut connection = connect(draft, write).map_err(Failure::from)?;
            migrations.run(&mut connection)?;
            connection
                .close()
                .map_err(|(_, error)| Failure::from(error).into())
        })?;
        let mut connection = connect(&path, write).map_err(Failure::from)?;
        file.examine(&connection)?;
        // FULL: a commit returns only once the log is on the disk. The limit gives the space back
        // that the log took while something kept it from being folded in.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA journal_size_limit = 67108864;",
            )
            .map_err(Failure::from)?;
        migrations.run(&mut connection)?;
        let writer = Writer::start(connection, lock, maintenance)?;
        let readers = Readers::open(|| connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(Failure::from)?;
        Ok(Self {
            file: Arc::new(file),
            writer,
            readers,
        })
    }

    /// Runs `work` in a transaction and answers once that is durable. `work` runs even if the
    /// caller stops waiting.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_holding(0, work).await
    }

    /// The same for a request that holds so many bytes in memory while it waits.
    pub(crate) async fn write_holding<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.submit(bytes, work, move |result| {
            // Nobody waits for it any more: the write itself stands.
            drop(answer.send(result));
        });
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the writer has stopped")))
    }

    /// Runs `work` in a transaction and, once that is durable, `done` on the writer's thread, in
    /// the order in which the works ran. `done` must not block. `bytes` is what the request holds
    /// in memory while it waits. Refused at once, `done` runs before this returns.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let file = Arc::clone(&self.file);
        self.writer.submit(bytes, work, move |result| {
            file.note(&result);
            done(result);
        });
    }

    /// Runs `work` on a snapshot of the database, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.readers.read(work).await;
        self.file.note(&result);
        result
    }

    /// The same for what may take long, such as a search: for [`SEARCH_TIME`] at most, and so few at once that there
    /// is always a connection for the others.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.readers.search(SEARCH_TIME, work).await;
        self.file.note(&result);
        result
    }

    /// True if the file is there as it was, and nothing in it was found to be damaged.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.file.check()
    }

    /// What waits and what was done.
    pub(crate) fn stats(&self) -> StoreStats {
        StoreStats {
            embedded: Some(EmbeddedStats {
                reads: self.readers.reads(),
                wal_bytes: self.writer.counts().wal_bytes.load(Ordering::Relaxed),
            }),
            ..self.writer.counts().stats()
        }
    }

    /// Refuses new work, finishes what is queued, folds the write-ahead log into the database and
    /// gives the directory up.
    pub(crate) async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source: io::Error| OpenError::Directory {
        path: directory.into(),
        source,
    };
    file::make_directory(directory).map_err(failed)?;
    // A file of its own: closing any handle on the database would drop SQLite's own locks.
    let file = file::open_private(&directory.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.into())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // A connection is never used by two threads at once, so it needs no mutex of SQLite's.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Without this the bundled SQLite plans a statement anew whenever a value is bound to it,
    // which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}
