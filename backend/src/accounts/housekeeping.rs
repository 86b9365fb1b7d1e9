//! What is cleaned up from time to time: sessions long over, and guests who won't come back. Of several instances each
//! does it; what another has done already is passed over.

use std::{sync::Arc, time::Duration};

use protocol::{ErrorCode, Timestamp};

use super::{Accounts, profile};
use crate::error::AppError;

const EVERY: Duration = Duration::from_secs(600);

/// Ended sessions are kept for a day: reuse of their tokens is recognised as long.
const SESSIONS_AFTER_MS: i64 = 24 * 3_600_000;

/// A guest without a session that is good can never come back; an hour leaves time for a refresh on its way.
const GUESTS_AFTER_MS: i64 = 3_600_000;

/// Guests checked in one query.
const GUESTS: u32 = 100;

/// Cleans up, for ever.
pub async fn run(accounts: &Arc<Accounts>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = clean_up(accounts).await {
            tracing::warn!(%error, "cleaning up failed; trying again later");
        }
    }
}

async fn clean_up(accounts: &Arc<Accounts>) -> Result<(), AppError> {
    let now = Timestamp::now();
    let before = |ms| Timestamp::from_unix_ms(now.unix_ms() - ms);
    while accounts
        .sessions
        .purge_sessions(before(SESSIONS_AFTER_MS))
        .await?
        > 0
    {
        tokio::task::yield_now().await;
    }
    let mut after = None;
    loop {
        let guests = accounts
            .store
            .guests(before(GUESTS_AFTER_MS), after.as_ref(), GUESTS)
            .await?;
        after = guests.last().cloned();
        if after.is_none() {
            return Ok(());
        }
        for guest in accounts.sessions.without_sessions(guests, now).await? {
            match profile::delete(accounts, &guest).await {
                Err(error) if error.code() == ErrorCode::NotFound => {}
                deleted => deleted?,
            }
        }
    }
}
