//! Jobs in the transaction of the change that they follow from: both happen, or neither.

use std::time::Duration;

use storage::{Statement, StoreError};

use crate::{Job, job::encode};

/// What adds a job, for [`Sql::write`](storage::Sql::write). Call [`JobQueue::wake`](crate::JobQueue::wake) afterwards.
///
/// # Errors
/// If it breaks a bound.
pub fn statement<J: Job>(job: &J) -> Result<Statement, StoreError> {
    statement_after(Duration::ZERO, job)
}

/// The same for a job that isn't run before `delay` has passed.
///
/// # Errors
/// If it breaks a bound.
pub fn statement_after<J: Job>(delay: Duration, job: &J) -> Result<Statement, StoreError> {
    Ok(encode(job, delay)?.into_statement())
}
