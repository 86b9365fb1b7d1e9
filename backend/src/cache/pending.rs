//! Invalidations that Redis and the other instances have yet to be told, and those that Redis has acknowledged just now.
//!
//! What must stay true: what Redis has acknowledged is told again if a connection to it is lost within the next minute, since a
//! server that takes over may never have heard of it.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::Audience;

/// Invalidations that Redis may have yet to be told. What is beyond may be read from it until it expires.
const WAITING: usize = 100_000;

/// How long an invalidation is remembered that Redis has acknowledged. Replicas are behind by far less.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// How many are remembered, the last ones.
const REMEMBERED: usize = 10_000;

/// An invalidation that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) audience: Audience,
    /// Tells it from a later one of the same key.
    number: u64,
    /// True if the other instances were told although Redis couldn't be.
    pub(super) told: bool,
    /// When Redis first acknowledged it, if that isn't trusted any more.
    acknowledged_at: Option<Instant>,
}

pub(super) struct PendingInvalidations {
    waiting: Mutex<Waiting>,
    acknowledged: Mutex<Acknowledged>,
}

#[derive(Default)]
struct Waiting {
    by_key: HashMap<String, Pending>,
    /// Of the next one.
    number: u64,
}

struct Acknowledged {
    /// Connections that were lost when it was last looked after them.
    losses: u64,
    last: VecDeque<(Instant, String, Audience)>,
}

impl PendingInvalidations {
    /// None yet, after so many losses of connections.
    pub(super) fn new(losses: u64) -> Self {
        Self {
            waiting: Mutex::default(),
            acknowledged: Mutex::new(Acknowledged {
                losses,
                last: VecDeque::new(),
            }),
        }
    }

    /// Says whether there is room for it.
    pub(super) fn add(&self, key: &str, audience: Audience) -> bool {
        self.waiting.lock().add(key, audience, None)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.waiting.lock().by_key.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.lock().by_key.len()
    }

    /// All that wait: first those of which nobody was told, the oldest first.
    pub(super) fn all(&self) -> Vec<(String, Pending)> {
        let waiting = self.waiting.lock();
        let all = waiting.by_key.iter();
        let mut all: Vec<_> = all.map(|(key, pending)| (key.clone(), *pending)).collect();
        drop(waiting);
        all.sort_unstable_by_key(|(_, pending)| (pending.told, pending.number));
        all
    }

    /// The other instances were told, and Redis couldn't be.
    pub(super) fn mark_told(&self, key: &str, pending: Pending) {
        if let Some(now) = self.waiting.lock().by_key.get_mut(key)
            && now.number == pending.number
        {
            now.told = true;
        }
    }

    /// Redis has acknowledged it. To be called before it is removed, so that a loss between the two isn't overlooked.
    pub(super) fn remember(&self, key: &str, pending: Pending) {
        let now = Instant::now();
        let mut acknowledged = self.acknowledged.lock();
        let last = &mut acknowledged.last;
        while last.len() >= REMEMBERED || last.front().is_some_and(|(at, ..)| is_over(*at, now)) {
            last.pop_front();
        }
        let at = pending.acknowledged_at.unwrap_or(now);
        last.push_back((at, key.to_owned(), pending.audience));
    }

    /// It waits no more, unless there is a later one of the same key.
    pub(super) fn remove(&self, key: &str, pending: Pending) {
        let mut waiting = self.waiting.lock();
        let now = waiting.by_key.get(key);
        if now.is_some_and(|now| now.number == pending.number) {
            waiting.by_key.remove(key);
        }
    }

    /// After a loss, has everything wait again that is remembered, and returns it.
    pub(super) fn recall(&self, losses: u64) -> Vec<(String, Audience)> {
        // Held until all wait: whoever reads meanwhile sees them.
        let mut acknowledged = self.acknowledged.lock();
        if acknowledged.losses == losses {
            return Vec::new();
        }
        acknowledged.losses = losses;
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        let mut recalled = Vec::new();
        for (at, key, audience) in std::mem::take(&mut acknowledged.last) {
            if !is_over(at, now) && waiting.add(&key, audience, Some(at)) {
                recalled.push((key, audience));
            }
        }
        recalled
    }
}

impl Waiting {
    fn add(&mut self, key: &str, audience: Audience, acknowledged_at: Option<Instant>) -> bool {
        if self.by_key.len() >= WAITING && !self.by_key.contains_key(key) {
            return false;
        }
        let new = Pending {
            audience,
            number: self.number,
            told: false,
            acknowledged_at,
        };
        self.number += 1;
        let pending = self.by_key.entry(key.to_owned()).or_insert(new);
        *pending = Pending {
            audience: pending.audience.max(audience),
            // A new one among them is remembered anew.
            acknowledged_at: pending.acknowledged_at.and(acknowledged_at),
            ..new
        };
        true
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= REMEMBERED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pending: &PendingInvalidations) -> Vec<String> {
        pending.all().into_iter().map(|(key, _)| key).collect()
    }

    fn acknowledge_all(pending: &PendingInvalidations) {
        for (key, waiting) in pending.all() {
            pending.remember(&key, waiting);
            pending.remove(&key, waiting);
        }
    }

    #[test]
    fn what_was_acknowledged_waits_again_after_each_loss() {
        let pending = PendingInvalidations::new(7);
        assert!(pending.add("a", Audience::Clients));
        assert!(pending.add("b", Audience::Instances));
        acknowledge_all(&pending);
        assert_eq!(pending.len(), 0);
        for losses in 7..10 {
            let recalled = pending.recall(losses);
            let expected = if losses == 7 { 0 } else { 2 };
            assert_eq!((recalled.len(), pending.len()), (expected, expected));
            assert!(pending.recall(losses).is_empty());
            acknowledge_all(&pending);
        }
        assert_eq!(pending.recall(10)[0].1, Audience::Clients);
    }

    #[test]
    fn a_loss_between_acknowledgement_and_removal_is_not_overlooked() {
        let pending = PendingInvalidations::new(0);
        pending.add("a", Audience::Instances);
        let (key, waiting) = pending.all().remove(0);
        pending.remember(&key, waiting);
        pending.recall(1);
        pending.remove(&key, waiting);
        assert_eq!(keys(&pending), ["a"]);
    }

    #[test]
    fn the_last_ones_are_remembered() {
        let pending = PendingInvalidations::new(0);
        for id in 0..=REMEMBERED {
            pending.add(&id.to_string(), Audience::Instances);
        }
        acknowledge_all(&pending);
        assert_eq!(pending.recall(1).len(), REMEMBERED);
        assert!(!pending.contains("0"));
    }

    #[test]
    fn those_come_first_of_which_nobody_was_told() {
        let pending = PendingInvalidations::new(0);
        for key in ["a", "b", "c"] {
            pending.add(key, Audience::Instances);
        }
        let waiting = pending.all();
        pending.add("b", Audience::Instances);
        for (key, waiting) in &waiting[..2] {
            pending.mark_told(key, *waiting);
        }
        assert_eq!(keys(&pending), ["c", "b", "a"]);
    }
}
