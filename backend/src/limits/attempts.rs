//! Tries to sign in, against guessing passwords.
//!
//! What must stay true: guesses sent all at once are counted like those sent one by one.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{Action, Counting, Key, Limits, Place, Verdict};
use crate::{error::AppError, network::Network};

const ACTION: Action = Action::FailedSignIn;

/// Where tries for one username from one network wait for each other, so that each sees how the one before ended.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<Key, Arc<AsyncMutex<()>>>>);

/// A lane that somebody has, or waits for.
struct Lane<'a> {
    lanes: &'a Lanes,
    key: Key,
    lane: Arc<AsyncMutex<()>>,
}

/// A try to sign in, whose outcome has to be told. Others for the same username wait until it is gone.
pub struct Attempt<'a> {
    limits: &'a Limits,
    key: Key,
    /// Where it is counted as a failure already.
    place: Option<Place>,
    // Before the lane, which looks whether anybody else has it.
    _turn: OwnedMutexGuard<()>,
    _lane: Lane<'a>,
}

impl Lanes {
    fn lane(&self, key: Key) -> Lane<'_> {
        let lane = Arc::clone(self.0.lock().entry(key).or_default());
        Lane {
            lanes: self,
            key,
            lane,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.0.lock();
        // The map's own and this one.
        if Arc::strong_count(&self.lane) == 2 {
            lanes.remove(&self.key);
        }
    }
}

impl Limits {
    /// Begins a try to sign in, once those before it for the same username and network are over.
    ///
    /// # Errors
    /// `rate_limited` after five failures, until 15 minutes from the first of them.
    pub async fn attempt(
        &self,
        network: Network,
        username: &str,
        now: Instant,
    ) -> Result<Attempt<'_>, AppError> {
        let limit = ACTION.limit();
        let key = Key::of(&[&network.to_string(), &username.to_lowercase()]);
        let lane = self.lanes.lane(key);
        let turn = Arc::clone(&lane.lane).lock_owned().await;
        let (wait, place) = match self.take_shared(limit, key, 1).await {
            Verdict::Taken(place) => (None, Some(place)),
            Verdict::Wait(wait) => (Some(wait), None),
            Verdict::Away => (self.failures().lock().wait(&key, 1, now), None),
        };
        if let Some(wait) = wait {
            return Err(self.refused(limit, wait));
        }
        Ok(Attempt {
            limits: self,
            key,
            place,
            _turn: turn,
            _lane: lane,
        })
    }

    fn failures(&self) -> &Mutex<super::Windows<Key>> {
        &self.memory[ACTION as usize]
    }
}

impl Attempt<'_> {
    /// The password was wrong.
    pub fn failed(mut self, now: Instant) {
        self.limits.failures().lock().count(self.key, now);
        self.place = None;
    }

    /// The password was right: earlier failures are forgiven.
    pub async fn succeeded(mut self) {
        self.limits.failures().lock().forgive(&self.key);
        if let (Counting::Together(windows), Some(place)) =
            (&self.limits.counting, self.place.take())
        {
            windows.forgive(place).await;
        }
    }
}

/// Without an outcome nothing was learnt about the password, so nothing counts.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let (Counting::Together(windows), Some(place)) =
            (&self.limits.counting, self.place.take())
        {
            windows.give_back(place);
        }
    }
}
