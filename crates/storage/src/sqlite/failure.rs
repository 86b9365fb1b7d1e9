//! SQLite's errors on their way to a [`StoreError`]. Inside the crate `?` takes both; outside
//! nobody sees that it was SQLite.

use rusqlite::ErrorCode;

use crate::error::cause;
use crate::{OpenError, StoreError};

/// What a piece of work ends with.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why a piece of work failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The rules of the store say no.
    Refused(StoreError),
    /// SQLite says no.
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(StoreError::Unavailable(cause(error)))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Refused(error) => return error,
            Failure::Sqlite(error) => error,
        };
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                // A read that took longer than it may.
                | ErrorCode::OperationInterrupted,
            ) => Self::Unavailable(cause(error)),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(cause(error))
            }
            _ => Self::Internal(cause(error)),
        }
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Database(match failure {
            Failure::Refused(error) => cause(error),
            Failure::Sqlite(error) => cause(error),
        })
    }
}
