//! How much of something is allowed in a time: to a user, or to the network that somebody comes from. In memory, where a
//! restart forgives; the instances of a fleet count in Redis, and each in its own memory while that is away.

mod attempts;
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

pub use attempts::Attempt;
use attempts::Lanes;
use shared::{Place, SharedWindows, Verdict};
use windows::Windows;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A wrong password, by username and network; see [`Limits::attempt`].
    FailedSignIn,
    /// A guest, by network.
    Guest,
    /// A new account, by network.
    Registration,
    /// Somebody whom another one puts into a room, by the one who does.
    Addition,
    /// A change of what a user shows, by user.
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
struct Key([u8; 16]);

impl Key {
    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length first, so that no other parts make the same text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// Counts what is limited.
pub struct Limits {
    /// Of each action, in their order.
    memory: [Mutex<Windows<Key>>; ACTIONS.len()],
    counting: Counting,
    lanes: Lanes,
    refused: AtomicU64,
}

/// Whose counts decide. Memory counts in any case: it has to know when Redis goes.
enum Counting {
    Alone,
    Together(SharedWindows),
}

impl Limits {
    /// Nobody has done anything yet.
    pub fn in_memory() -> Self {
        Self::new(Counting::Alone)
    }

    /// Counted with the other instances that use this Redis and prefix.
    pub fn redis(redis: RedisClient, key_prefix: impl Into<String>) -> Self {
        let windows = SharedWindows::new(redis, key_prefix.into());
        Self::new(Counting::Together(windows))
    }

    fn new(counting: Counting) -> Self {
        Self {
            memory: ACTIONS.map(|action| Mutex::new(Windows::new(action.limit()))),
            counting,
            lanes: Lanes::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts `count` times that `who` does something, all or none.
    ///
    /// # Errors
    /// `rate_limited`, until so many of those before are out of the window.
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
            Verdict::Taken(_) => None,
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

    /// How often something was refused.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    async fn take_shared(&self, limit: Limit, key: Key, count: usize) -> Verdict {
        match &self.counting {
            Counting::Alone => Verdict::Away,
            Counting::Together(windows) => windows.take(limit, key, count).await,
        }
    }

    fn refused(&self, limit: Limit, wait: Duration) -> AppError {
        self.refused.fetch_add(1, Relaxed);
        AppError::rate_limited(limit.refusal, wait).limit(limit.most as u32)
    }
}
