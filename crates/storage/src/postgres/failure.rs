//! The driver's errors on their way to a [`StoreError`].

use std::sync::Once;

use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::StoreError;
use crate::error::cause;

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    error: StoreError,
    /// True if the same read may succeed on another server.
    pub(super) elsewhere: bool,
    pub(super) blame: Blame,
}

/// What a failure says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// That it can't be reached, can't serve or doesn't answer in time.
    Server,
    /// Nothing: it answered, and the answer is no.
    Request,
    /// Nothing: it wasn't asked, as too many wait.
    Load,
}

impl Failure {
    pub(super) fn unavailable(reason: &'static str) -> Self {
        Self::because_of(Blame::Server, reason)
    }

    /// Too many wait.
    pub(super) fn overloaded(reason: &'static str) -> Self {
        Self::because_of(Blame::Load, reason)
    }

    fn because_of(blame: Blame, reason: &'static str) -> Self {
        Self {
            error: StoreError::unavailable(reason),
            elsewhere: true,
            blame,
        }
    }

    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.error, StoreError::Unavailable(_))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// That the database isn't migrated.
static SAID: Once = Once::new();

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_broken = breaks_connection(&error);
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code = code.as_deref().unwrap_or_default();
        let blame = blame(&error, code);
        match (code, code.get(..2).unwrap_or_default()) {
            ("XX001" | "XX002", _) => Self {
                error: StoreError::Corrupt(cause(error)),
                elsewhere: true,
                blame,
            },
            // The table or column that this version of the program knows.
            ("42P01" | "42703" | "3F000", _) => {
                // Once: everything that is tried again and again fails in the same way.
                SAID.call_once(|| {
                    tracing::error!(%error, "the database isn't migrated: run `tertulia migrate`");
                });
                Self {
                    error: StoreError::Unavailable(cause(error)),
                    // A replica may not have it yet.
                    elsewhere: true,
                    blame,
                }
            }
            // Connection, authorization, no such database, a conflict with another transaction or with what a replica
            // replays, resources, an operator's hand, the system. 25006: a primary that isn't one any more; 55P03: a lock.
            ("25006" | "55P03" | "3D000", _) | (_, "08" | "28" | "40" | "53" | "57" | "58") => {
                Self {
                    error: StoreError::Unavailable(cause(error)),
                    elsewhere: true,
                    blame,
                }
            }
            _ if is_broken || matches!(error, Error::PoolTimedOut | Error::PoolClosed) => Self {
                error: StoreError::Unavailable(cause(error)),
                elsewhere: true,
                blame,
            },
            _ => Self {
                error: StoreError::Internal(cause(error)),
                elsewhere: false,
                blame,
            },
        }
    }
}

fn blame(error: &Error, code: &str) -> Blame {
    let class = code.get(..2).unwrap_or_default();
    // 57014: the server ended a statement that ran for too long. Conflicts and locks (40, 55P03) are others' doing.
    let is_servers = ["25006", "3D000", "XX001", "XX002"].contains(&code)
        || ["08", "28", "53", "57", "58"].contains(&class)
        || breaks_connection(error)
        || matches!(error, Error::PoolTimedOut);
    match error {
        Error::PoolClosed => Blame::Load,
        _ if is_servers => Blame::Server,
        _ => Blame::Request,
    }
}

/// True if nothing more can be asked on the connection where this happened, and perhaps on its like.
pub(super) fn breaks_connection(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        Error::Database(error) => matches!(
            error.code().as_deref(),
            // The server ends it: an operator, a crash of another, the server's start, a time-out of idleness.
            Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03")
        ),
        _ => false,
    }
}
