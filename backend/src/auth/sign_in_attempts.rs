//! Attempts to sign in, limited against guessing of passwords.
//!
//! What must stay true: guesses sent all at once are counted like those sent one by one.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{
    error::AppError,
    limits::{Key, Limits, Reservation, Tier, network::Network, tiers},
};

/// The attempts of one instance.
pub struct SignInAttempts {
    limits: Arc<Limits>,
    /// Attempts for one username from one network come one after the other, so that each sees the outcome of the one
    /// before.
    pending: Mutex<HashMap<Key, Arc<AsyncMutex<()>>>>,
}

/// One attempt. Others for the same username wait until it is dropped. Without an outcome nothing was learned about the
/// password, so nothing counts.
pub struct Attempt<'a> {
    reservation: Reservation,
    // Dropped before the entry, which is removed unless anybody else has it.
    _guard: OwnedMutexGuard<()>,
    _entry: Pending<'a>,
}

/// The entry of a key while somebody has or waits for its lock.
struct Pending<'a> {
    attempts: &'a SignInAttempts,
    key: Key,
    lock: Arc<AsyncMutex<()>>,
}

impl SignInAttempts {
    /// Attempts under these limits.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            pending: Mutex::default(),
        }
    }

    /// Begins an attempt, once those before it for the same username and network are over.
    ///
    /// # Errors
    /// `rate_limited` after five failures, until 15 minutes after the first of them.
    pub async fn begin(
        &self,
        network: Network,
        username: &str,
        now: Instant,
    ) -> Result<Attempt<'_>, AppError> {
        let key = tiers::of_username(network, username);
        let lock = Arc::clone(self.pending.lock().entry(key).or_default());
        let entry = Pending {
            attempts: self,
            key,
            lock,
        };
        let guard = Arc::clone(&entry.lock).lock_owned().await;
        let reservation = self.limits.reserve(Tier::Login, key, now).await?;
        Ok(Attempt {
            reservation,
            _guard: guard,
            _entry: entry,
        })
    }

    /// The number of keys with attempts under way.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.pending.lock().len()
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut pending = self.attempts.pending.lock();
        // The map's own and this one.
        if Arc::strong_count(&self.lock) == 2 {
            pending.remove(&self.key);
        }
    }
}

impl Attempt<'_> {
    /// The password was wrong.
    pub fn failed(self, now: Instant) {
        self.reservation.count(now);
    }

    /// The password was right: earlier failures are forgotten.
    pub async fn succeeded(self) {
        self.reservation.reset().await;
    }
}
