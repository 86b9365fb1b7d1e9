//! What can go wrong, in the terms of the callers: refusals, which the requester has to resolve, and failures of the
//! store, of which [`StoreError::Unavailable`] is temporary.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// The underlying error, shared by all the requests that it has failed.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The sources of an error, each after a colon: for a log, a command line or what is kept of a failure.
pub fn causes(error: &dyn Error) -> String {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        causes.push_str(": ");
        causes.push_str(&error.to_string());
        source = error.source();
    }
    causes
}

pub(crate) fn cause(error: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
    Cause::from(error.into())
}

/// Why a request to the store failed. It has changed nothing, except that this isn't known after
/// [`StoreError::Unavailable`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A value is invalid, for a reason that only the stored state shows.
    #[error("{field}: {message}")]
    Invalid {
        /// The field by its wire name.
        field: &'static str,
        /// What is expected of it.
        message: Cow<'static, str>,
    },
    /// Not found, or the user may not know that it exists.
    #[error("not found")]
    NotFound,
    /// The user isn't allowed to do this.
    #[error("forbidden")]
    Forbidden,
    /// The request conflicts with the current state.
    #[error("{field}: {message}")]
    Conflict {
        /// The field by its wire name.
        field: &'static str,
        /// What it conflicts with.
        message: Cow<'static, str>,
    },
    /// The disk is full or failing, the database is locked, or a queue is full. Trying again later
    /// may succeed. A write that was in flight when the disk failed may turn up after a restart,
    /// so the second try should be one that recognises the first.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The stored data is damaged.
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
    /// Two servers on one data directory would assign the same `seq`s twice.
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
