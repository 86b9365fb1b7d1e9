//! Transactions: several documents change together or not at all, on a replica set and across shards.
//!
//! No document that many write at once may take part: two transactions that meet at one document don't wait for each
//! other, one of them begins anew.

use std::time::{Duration, Instant};

use mongodb::ClientSession;
use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};

use super::database::Database;
use super::failure::{Failure, Outcome, bounded};
use crate::StoreError;
use crate::error::cause;

/// How long a transaction is begun or committed anew: twice as long as a majority may take to follow.
const RETRIED: Duration = Duration::from_secs(10);

/// The longest pause between two tries; the first are shorter.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs a block with a session in a transaction and commits it: `in_transaction!(database, async |session| { … })`. The
/// block runs again from its beginning when it met another transaction or an election, so it must do nothing but read
/// and write in this session. What it refuses leaves no trace.
///
/// If this process dies in the middle, the server aborts the transaction after a minute. Until then, what it had
/// written can't be written by others: they get `Unavailable`. A future that is dropped may have the same effect
/// (the driver doesn't abort a transaction whose first operation has no answer yet), so run it in [`to_the_end`].
///
/// A macro, because of an async closure that borrows the compiler can't tell yet that its future may change threads.
macro_rules! in_transaction {
    ($database:expr, async |$session:ident| $work:block) => {{
        let mut transaction = super::transaction::Transaction::new($database).await?;
        loop {
            let $session = transaction.start().await?;
            let result = async { $work }.await;
            if let Some(result) = transaction.finish(result).await {
                break result;
            }
        }
    }};
}
pub(super) use in_transaction;

/// Completes a write even if the caller goes away, as one does whose client hangs up: no transaction is left half-way,
/// and what is cached from before is invalidated.
pub async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Outcome<T>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(write).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) if error.is_cancelled() => Err(StoreError::Unavailable(cause(error))),
        Err(error) => Err(StoreError::Internal(cause(error))),
    }
}

/// The tries of one transaction.
pub struct Transaction {
    session: ClientSession,
    begun: Instant,
    pause: Duration,
}

impl Transaction {
    pub async fn new(database: &Database) -> Outcome<Self> {
        Ok(Self {
            session: bounded(database.client().start_session()).await?,
            begun: Instant::now(),
            pause: Duration::from_millis(2),
        })
    }

    pub async fn start(&mut self) -> Outcome<&mut ClientSession> {
        bounded(self.session.start_transaction()).await?;
        Ok(&mut self.session)
    }

    /// Commits, or aborts what failed; nothing if it is to be done again.
    pub async fn finish<T>(&mut self, result: Outcome<T>) -> Option<Outcome<T>> {
        let result = match result {
            Ok(value) => self.commit().await.map(|()| value),
            Err(failure) => {
                // One that can't be reached aborts by itself.
                if let Err(error) = bounded(self.session.abort_transaction()).await {
                    tracing::debug!(?error, "a transaction wasn't aborted");
                }
                Err(failure)
            }
        };
        match &result {
            Err(failure) if is_transient(failure) && self.begun.elapsed() < RETRIED => {
                // Spread, so that those who met don't meet again.
                let spread = f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0;
                tokio::time::sleep(self.pause.mul_f64(0.5 + spread / 2.0)).await;
                self.pause = (self.pause * 2).min(PAUSE);
                None
            }
            _ => Some(result),
        }
    }

    /// When the answer got lost, asks again, which changes nothing if it was committed.
    async fn commit(&mut self) -> Outcome<()> {
        loop {
            match bounded(self.session.commit_transaction()).await {
                Err(Failure::Mongodb(error))
                    if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
                        && self.begun.elapsed() < RETRIED =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }
}

fn is_transient(failure: &Failure) -> bool {
    let transient = |error: &Error| error.contains_label(TRANSIENT_TRANSACTION_ERROR);
    matches!(failure, Failure::Mongodb(error) if transient(error))
}
