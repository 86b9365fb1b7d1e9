//! Work that isn't left half-way.

use crate::error::AppError;

/// Does what was begun to its end even if whoever asked for it goes away meanwhile. A handler's future is dropped with
/// its connection, and of what it had written by then nobody would ever be told: so a write and its telling are one task.
///
/// # Errors
/// Those of `work`; `internal` if it panics.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AppError>> + Send + 'static,
) -> Result<T, AppError> {
    tokio::spawn(work).await.map_err(AppError::internal)?
}
