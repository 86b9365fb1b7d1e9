//! Work that is never left half done.

use crate::error::AppError;

/// Runs `work` to its end even if the caller goes away meanwhile. A handler's future is dropped with its connection, and
/// nobody would ever be told of what it had written by then: so a write and its announcement are one task.
///
/// # Errors
/// Those of `work`; `internal` if it panics.
pub async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = Result<T, AppError>> + Send + 'static,
) -> Result<T, AppError> {
    tokio::spawn(work).await.map_err(AppError::internal)?
}
