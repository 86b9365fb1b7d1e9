//! The file of a database: made whole, readable by its owner alone, and looked at again.
//!
//! What must stay true: a file that lost what was in it is never taken for a new one.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use crate::error::cause;
use crate::{OpenError, StoreError};

use super::{Failure, Outcome};

/// What a file is made with, and a directory.
const OWNER: u32 = 0o600;
const OWNER_DIRECTORY: u32 = 0o700;

/// A database that is larger isn't read as a whole when it's opened, which would take seconds.
const CHECKED_BYTES: u64 = 64 << 20;

/// Makes a directory, and those above it, for its owner alone. One that is there stays as it is.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(OWNER_DIRECTORY)
        .create(path)
}

/// Opens a file for writing, and makes it for its owner alone if it isn't there.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OWNER)
        .open(path)?;
    make_private(path)?;
    Ok(file)
}

/// The file of an open database.
pub(super) struct DatabaseFile {
    path: PathBuf,
    inode: u64,
    /// True if something in it was found that nobody wrote.
    damaged: AtomicBool,
}

impl DatabaseFile {
    /// Finds the file, or has `make` write a new one, which takes its place when it's whole.
    pub(super) fn open(
        path: &Path,
        make: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        if length(path).map_err(failed)?.is_none() {
            if length(&beside(path, "-wal")).map_err(failed)?.unwrap_or(0) > 0 {
                return Err(OpenError::Emptied(path.to_owned()));
            }
            let draft = beside(path, ".new");
            for file in [&draft, &beside(&draft, "-journal")] {
                remove(file).map_err(failed)?;
            }
            open_private(&draft).map_err(failed)?;
            make(&draft)?;
            put_in_place(&draft, path).map_err(failed)?;
            tracing::info!(path = %path.display(), "a new database was made");
        }
        for file in ["", "-wal", "-shm"].map(|end| beside(path, end)) {
            match make_private(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let path = file.display();
                    tracing::warn!(%path, %error, "others may read a file of the database");
                }
                _ => {}
            }
        }
        let metadata = path.metadata().map_err(failed)?;
        if metadata.len() == 0 {
            return Err(OpenError::Emptied(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            inode: metadata.ino(),
            damaged: AtomicBool::new(false),
        })
    }

    /// Reads all of a database that isn't too large for it, and remembers what is wrong with it.
    pub(super) fn examine(&self, connection: &Connection) -> Outcome<()> {
        if length(&self.path)?.is_some_and(|bytes| bytes > CHECKED_BYTES) {
            return Ok(());
        }
        match is_sound(connection).map_err(Failure::from) {
            Ok(true) => {}
            Ok(false) => self.damage("its parts don't fit together"),
            Err(failure) => match StoreError::from(failure) {
                StoreError::Corrupt(cause) => self.damage(&cause.to_string()),
                other => return Err(other.into()),
            },
        }
        Ok(())
    }

    /// Remembers damage that somebody met.
    pub(super) fn note<T>(&self, result: &Result<T, StoreError>) {
        if let Err(StoreError::Corrupt(cause)) = result {
            self.damage(&cause.to_string());
        }
    }

    /// Says no if the file isn't the one that was opened, was cut to nothing, or is damaged.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.path.metadata() {
            Ok(metadata) if metadata.ino() != self.inode => self.damage("it was replaced"),
            Ok(metadata) if metadata.len() == 0 => self.damage("it was cut to nothing"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => self.damage("it was removed"),
            Err(error) => return Err(StoreError::Unavailable(cause(error))),
        }
        if self.damaged.load(Ordering::Relaxed) {
            return Err(StoreError::Corrupt(cause("the database is damaged")));
        }
        Ok(())
    }

    fn damage(&self, reason: &str) {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            tracing::error!(%path, reason, "the database is damaged; restore it from a backup");
        }
    }
}

/// True if every table can be read, and its indexes say the same as its rows. The full-text indexes are left out, for
/// they would have to be counted anew; the tables that they lie in aren't.
fn is_sound(connection: &Connection) -> rusqlite::Result<bool> {
    const TABLES: &str = "
        SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    let mut statement = connection.prepare(TABLES)?;
    let tables = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    for table in tables {
        let mut said = String::new();
        connection.pragma(None, "quick_check", &table, |row| {
            said = row.get(0)?;
            Ok(())
        })?;
        if said != "ok" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a file beside this one is called.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The bytes of a file; nothing if it isn't there.
fn length(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    if path.metadata()?.mode() & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(OWNER))
}

fn put_in_place(draft: &Path, path: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    std::fs::rename(draft, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
