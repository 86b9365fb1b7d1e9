//! The driver's errors on their way to a [`StoreError`]. Inside the back end `?` takes both; outside nobody sees that
//! it was MongoDB.

use std::future::IntoFuture;
use std::time::Duration;

use mongodb::error::{
    Error, ErrorKind, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use crate::StoreError;
use crate::error::cause;

/// The result of a piece of work.
pub type Outcome<T> = Result<T, Failure>;

/// Why a piece of work failed.
#[derive(Debug)]
pub enum Failure {
    /// The rules of the store refuse it.
    Refused(StoreError),
    /// The driver or a server fails.
    Mongodb(Error),
}

impl Failure {
    /// A value of this program that can't be stored in the database.
    pub fn unserializable(error: mongodb::bson::error::Error) -> Self {
        Self::Refused(StoreError::Internal(cause(error)))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Mongodb(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Refused(error) => return error,
            Failure::Mongodb(error) => error,
        };
        if is_passing(&error) {
            return Self::Unavailable(cause(error));
        }
        match *error.kind {
            ErrorKind::Bson(_) => Self::Corrupt(cause(error)),
            _ => Self::Internal(cause(error)),
        }
    }
}

/// How long one operation may take. The driver itself waits for an answer for as long as the connection lives; that
/// of a server which hangs is cut after a missed sign of life, sooner than this.
const OPERATION: Duration = Duration::from_secs(10);

/// One operation, given up after [`OPERATION`]: of a write it isn't known then whether it happened.
pub async fn bounded<T>(operation: impl IntoFuture<Output = Result<T, Error>>) -> Outcome<T> {
    match tokio::time::timeout(OPERATION, operation.into_future()).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::unavailable("no answer in time").into()),
    }
}

/// Temporary server errors: elections, shutdowns, time-outs, moving chunks, a full disk.
const PASSING: [i32; 35] = [
    6,     // HostUnreachable
    7,     // HostNotFound
    24,    // LockTimeout
    43,    // CursorNotFound
    46,    // LockBusy
    50,    // MaxTimeMSExpired
    63,    // StaleShardVersion
    64,    // WriteConcernFailed
    70,    // ShardNotFound
    79,    // UnknownReplWriteConcern: the set is being reconfigured
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    100,   // UnsatisfiableWriteConcern: not enough members
    112,   // WriteConflict
    117,   // ConflictingOperationInProgress
    133,   // FailedToSatisfyReadPreference
    134,   // ReadConcernMajorityNotAvailableYet
    150,   // StaleEpoch
    189,   // PrimarySteppedDown
    202,   // NetworkInterfaceExceededTimeLimit
    225,   // TransactionTooOld
    237,   // CursorKilled
    244,   // TransactionAborted
    249,   // StaleDbVersion
    251,   // NoSuchTransaction
    262,   // ExceededTimeLimit
    290,   // TransactionExceededLifetimeLimitSeconds
    9001,  // SocketException
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11602, // InterruptedDueToReplStateChange
    13388, // StaleConfig
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
    14031, // OutOfDiskSpace
];

/// True if a server's error is temporary.
pub fn is_passing_code(code: i32) -> bool {
    PASSING.contains(&code)
}

/// True if trying again later may succeed.
pub fn is_passing(error: &Error) -> bool {
    let labelled = [
        RETRYABLE_WRITE_ERROR,
        TRANSIENT_TRANSACTION_ERROR,
        UNKNOWN_TRANSACTION_COMMIT_RESULT,
    ]
    .iter()
    .any(|label| error.contains_label(label));
    let code = is_passing_code;
    labelled
        || match &*error.kind {
            ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Shutdown
            // A user who is being changed, or a member that can't check one yet.
            | ErrorKind::Authentication { .. } => true,
            ErrorKind::Command(command) => code(command.code),
            // Whatever kept it from a majority: what was written may still be rolled back.
            ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
            ErrorKind::Write(WriteFailure::WriteError(write)) => code(write.code),
            ErrorKind::InsertMany(many) => {
                many.write_concern_error.is_some()
                    || many.write_errors.iter().flatten().any(|write| code(write.code))
            }
            _ => false,
        }
}

/// The server's code for a unique key that exists already.
pub const DUPLICATE_KEY: i32 = 11000;

/// True if a document with the same unique key exists already.
pub fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Command(command) => command.code == DUPLICATE_KEY,
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(many) => many
            .write_errors
            .iter()
            .flatten()
            .any(|write| write.code == DUPLICATE_KEY),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, deserialize_from_document, doc};

    use super::*;

    fn answered(error: Document) -> StoreError {
        let command = deserialize_from_document(error).unwrap();
        Failure::from(Error::from(ErrorKind::Command(command))).into()
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for code in PASSING {
            let error = answered(doc! { "code": code, "codeName": "", "errmsg": "" });
            assert!(matches!(error, StoreError::Unavailable(_)), "{code}");
        }
        // Unauthorized, BadValue, DuplicateKey.
        for code in [13, 2, 11000] {
            let error = answered(doc! { "code": code, "codeName": "", "errmsg": "" });
            assert!(matches!(error, StoreError::Internal(_)), "{code}");
        }
        let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Failure::from(Error::from(ErrorKind::Io(cut.into()))).into();
        assert!(matches!(error, StoreError::Unavailable(_)));
        let error = Failure::from(StoreError::Forbidden).into();
        assert!(matches!(error, StoreError::Forbidden));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_without_an_answer_is_given_up() {
        let never = std::future::pending::<Result<(), Error>>();
        let error = StoreError::from(bounded(never).await.unwrap_err());
        assert!(matches!(error, StoreError::Unavailable(_)));
    }
}
