//! What can go wrong, in the terms of those who ask. Callers tell refusals, which are the
//! requester's to mend, from [`StoreError::Unavailable`], which passes by itself.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// The error underneath, shared by all the requests that it ended.
pub type Cause = Arc<dyn Error + Send + Sync>;

pub(crate) fn cause(error: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
    Cause::from(error.into())
}

/// Why a request to the store failed. Except after [`StoreError::Unavailable`] it certainly left
/// no trace.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A value can't be used, for a reason that only the stored state shows.
    #[error("{field}: {message}")]
    Invalid {
        /// The field by its wire name.
        field: &'static str,
        /// What is expected of it.
        message: Cow<'static, str>,
    },
    /// What was named doesn't exist, or the one who acts may not know that it does.
    #[error("not found")]
    NotFound,
    /// The one who acts may not do this.
    #[error("forbidden")]
    Forbidden,
    /// The present state contradicts the request.
    #[error("{field}: {message}")]
    Conflict {
        /// The field by its wire name.
        field: &'static str,
        /// What contradicts it.
        message: Cow<'static, str>,
    },
    /// The disk is full or failing, the database is locked, or a queue is full. Trying again later
    /// may succeed. A write that was in flight when the disk failed may turn up after a restart,
    /// so the second try should be one that recognises the first.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The file isn't what was written to it.
    #[error("the store is corrupt")]
    Corrupt(#[source] Cause),
    /// A fault of this program.
    #[error("the store failed")]
    Internal(#[source] Cause),
}

impl StoreError {
    pub(crate) fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            field,
            message: message.into(),
        }
    }

    pub(crate) fn conflict(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict {
            field,
            message: message.into(),
        }
    }

    pub(crate) fn unavailable(reason: &'static str) -> Self {
        Self::Unavailable(cause(reason))
    }

    pub(crate) fn internal(reason: &'static str) -> Self {
        Self::Internal(cause(reason))
    }
}

/// Why a store couldn't be opened; meant for the operator who started the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two servers on one data directory would give out the same places of a log twice.
    #[error("the data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A newer version has written the file; this one would misread it.
    #[error("the database has schema version {found}, this program knows up to {known}")]
    Newer {
        /// The version of the file.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// The data directory can't be made, read or written.
    #[error("cannot use the data directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of the database can't be made, or its name is taken by something else.
    #[error("cannot use the database {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There was something in the database and now there isn't: a new one isn't made in its place.
    #[error("the database {} was emptied: restore it from a backup, or remove it and the files beside it to begin anew", .0.display())]
    Emptied(PathBuf),
    /// The address of the database can't be understood. Says why without repeating a password.
    #[error("the address of the database: {0}")]
    Address(String),
    /// The database can't be read or brought up to date.
    #[error("cannot open the database")]
    Database(#[source] Cause),
}
