//! Rate limits by user or by network. A single instance counts in memory, which a restart clears. The instances of a fleet
//! count in Redis, and each in its own memory while that is away.

pub mod network;
mod shared;
#[cfg(test)]
mod tests;
mod windows;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis_client::RedisClient;
use sha2::{Digest, Sha256};

use crate::error::AppError;

use shared::{Hit, SharedWindows, Verdict};
use windows::Windows;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A wrong password, by username and network; see [`Limits::reserve`].
    FailedSignIn,
    /// A guest, by network.
    Guest,
    /// A new account, by network.
    Registration,
    /// A user added to a room by another one, by the user who adds.
    Addition,
    /// A change of a profile, by user.
    ProfileChange,
    /// A change of an e-mail address, by user.
    EmailChange,
}

/// How much is allowed in every window, wherever it begins.
#[derive(Debug, Clone, Copy)]
struct Limit {
    name: &'static str,
    most: usize,
    window: Duration,
    refusal: &'static str,
}

const ACTIONS: [Action; 6] = [
    Action::FailedSignIn,
    Action::Guest,
    Action::Registration,
    Action::Addition,
    Action::ProfileChange,
    Action::EmailChange,
];

impl Action {
    const fn limit(self) -> Limit {
        let (name, most, seconds, refusal) = match self {
            Self::FailedSignIn => (
                "failed-sign-ins",
                5,
                15 * 60,
                "too many failed sign-ins; try again later",
            ),
            Self::Guest => ("guests", 60, 60, "too many guests from this address"),
            Self::Registration => (
                "registrations",
                60,
                60,
                "too many new accounts from this address",
            ),
            Self::Addition => (
                "additions",
                200,
                10 * 60,
                "too many people were added to rooms",
            ),
            Self::ProfileChange => ("profile-changes", 60, 60, "too many changes of the profile"),
            Self::EmailChange => (
                "email-changes",
                10,
                60 * 60,
                "too many changes of the e-mail address",
            ),
        };
        Limit {
            name,
            most,
            window: Duration::from_secs(seconds),
            refusal,
        }
    }
}

/// Who is counted: a hash, because people type passwords into the wrong field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// The key of what these parts name together.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length first, so that no other parts have the same hash.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// Rate limits.
pub struct Limits {
    /// By action, in their order.
    memory: [Mutex<Windows<Key>>; ACTIONS.len()],
    counting: Counting,
    refused: AtomicU64,
}

/// Whose counts decide. Memory counts in any case, as it decides when Redis goes away.
enum Counting {
    InMemory,
    Shared(SharedWindows),
}

impl Limits {
    /// Limits of a single instance.
    pub fn in_memory() -> Self {
        Self::new(Counting::InMemory)
    }

    /// Limits shared with the other instances that use this Redis and prefix.
    pub fn redis(redis: RedisClient, key_prefix: impl Into<String>) -> Self {
        let windows = SharedWindows::new(redis, key_prefix.into());
        Self::new(Counting::Shared(windows))
    }

    fn new(counting: Counting) -> Self {
        Self {
            memory: ACTIONS.map(|action| Mutex::new(Windows::new(action.limit()))),
            counting,
            refused: AtomicU64::new(0),
        }
    }

    /// Counts that `who` does something `count` times: all or none.
    ///
    /// # Errors
    /// `rate_limited` if that would exceed the limit.
    pub async fn take(
        &self,
        action: Action,
        who: &str,
        count: usize,
        now: Instant,
    ) -> Result<(), AppError> {
        let (limit, key) = (action.limit(), Key::of(&[who]));
        let count = count.min(limit.most);
        if count == 0 {
            return Ok(());
        }
        let verdict = self.take_shared(limit, key, count).await;
        let mut windows = self.memory[action as usize].lock();
        let wait = match verdict {
            Verdict::Granted(_) => None,
            Verdict::Wait(wait) => Some(wait),
            Verdict::Away => windows.wait(&key, count, now),
        };
        if let Some(wait) = wait {
            return Err(self.refused(limit, wait));
        }
        for _ in 0..count {
            windows.count(key, now);
        }
        Ok(())
    }

    /// Refusals since the start of the process.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Reserves one count whose outcome isn't known yet. Where Redis counts, it is taken back unless the outcome is a
    /// [`Reservation::count`]. Memory can't tell of reservations: callers with one key have to come one after the other.
    ///
    /// # Errors
    /// `rate_limited` if the limit is reached.
    pub async fn reserve(
        &self,
        action: Action,
        key: Key,
        now: Instant,
    ) -> Result<Reservation<'_>, AppError> {
        let limit = action.limit();
        let (wait, hit) = match self.take_shared(limit, key, 1).await {
            Verdict::Granted(hit) => (None, Some(hit)),
            Verdict::Wait(wait) => (Some(wait), None),
            Verdict::Away => (self.memory[action as usize].lock().wait(&key, 1, now), None),
        };
        match wait {
            Some(wait) => Err(self.refused(limit, wait)),
            None => Ok(Reservation {
                limits: self,
                action,
                key,
                hit,
            }),
        }
    }

    async fn take_shared(&self, limit: Limit, key: Key, count: usize) -> Verdict {
        match &self.counting {
            Counting::InMemory => Verdict::Away,
            Counting::Shared(windows) => windows.take(limit, key, count).await,
        }
    }

    fn refused(&self, limit: Limit, wait: Duration) -> AppError {
        self.refused.fetch_add(1, Relaxed);
        AppError::rate_limited(limit.refusal, wait).limit(limit.most as u32)
    }
}

/// One count whose outcome isn't known yet.
pub struct Reservation<'a> {
    limits: &'a Limits,
    action: Action,
    key: Key,
    /// What Redis has counted.
    hit: Option<Hit>,
}

impl Reservation<'_> {
    /// Counts it.
    pub fn count(mut self, now: Instant) {
        self.memory().lock().count(self.key, now);
        self.hit = None;
    }

    /// Forgets it and everything that was counted for its key.
    pub async fn reset(mut self) {
        self.memory().lock().reset(&self.key);
        if let (Counting::Shared(windows), Some(hit)) = (&self.limits.counting, self.hit.take()) {
            windows.reset(hit).await;
        }
    }

    fn memory(&self) -> &Mutex<Windows<Key>> {
        &self.limits.memory[self.action as usize]
    }
}

/// Without an outcome nothing counts.
impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let (Counting::Shared(windows), Some(hit)) = (&self.limits.counting, self.hit.take()) {
            windows.take_back(hit);
        }
    }
}
