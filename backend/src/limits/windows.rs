//! Sliding windows in memory.
//!
//! What must stay true: memory stays bounded whatever keys are counted, by forgetting the oldest.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

use super::Limit;

/// Times kept, a few megabytes an action. To evict one's own before they expire takes far more wrong passwords than are
/// checked in 15 minutes.
pub(super) const CAPACITY: usize = 100_000;

/// What each key did in the last window.
pub(super) struct Windows<K> {
    limit: Limit,
    times: HashMap<K, VecDeque<Instant>>,
    /// All of them, the earliest first, and some that were reset.
    order: VecDeque<(Instant, K)>,
}

impl<K: Hash + Eq + Clone> Windows<K> {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            times: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// How long a key has to wait that did too much for `count` more, which are at most what a window allows.
    pub(super) fn wait(&self, key: &K, count: usize, now: Instant) -> Option<Duration> {
        let times = self.times.get(key)?;
        let missing = (times.len() + count).checked_sub(self.limit.most)?;
        let first = times.get(missing.checked_sub(1)?)?;
        let left = self
            .limit
            .window
            .saturating_sub(now.saturating_duration_since(*first));
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn count(&mut self, key: K, now: Instant) {
        self.forget(now);
        let times = self.times.entry(key.clone()).or_default();
        times.push_back(now);
        if times.len() > self.limit.most {
            times.pop_front();
        }
        self.order.push_back((now, key));
    }

    pub(super) fn reset(&mut self, key: &K) {
        self.times.remove(key);
    }

    /// Forgets what is over, and the earliest if there is no room for another.
    fn forget(&mut self, now: Instant) {
        while let Some((time, key)) = self.order.front() {
            let over = now.saturating_duration_since(*time) >= self.limit.window;
            if !over && self.order.len() < CAPACITY {
                break;
            }
            if let Some(times) = self.times.get_mut(key) {
                if times.front() == Some(time) {
                    times.pop_front();
                }
                if times.is_empty() {
                    self.times.remove(key);
                }
            }
            self.order.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.times.len(), self.order.len())
    }
}
