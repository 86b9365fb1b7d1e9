//! The principals of a tier in memory.
//!
//! What must stay true: memory stays bounded whoever comes, by forgetting those who weren't seen for longest.

use std::{collections::HashMap, mem};

use parking_lot::Mutex;

use crate::{key::Key, principal::Principal};

/// Bytes for the principals of one tier.
const BUDGET: usize = 16 << 20;

/// Power of two.
const SHARDS: usize = 16;

/// What an entry costs at most: a table is between seven sixteenths and seven eighths full.
const ENTRY: usize = size_of::<(Key, Principal)>() * 16 / 7;

#[derive(Debug)]
pub(crate) struct Principals {
    shards: Box<[Mutex<Shard>]>,
    /// Bytes of one generation of a shard.
    budget: usize,
    /// Milliseconds after which nothing that is known of a principal matters.
    memory: u64,
}

/// Two generations: who is seen is moved to the new one, and the old one is forgotten as a whole when the new one has
/// its size or its age.
#[derive(Debug, Default)]
struct Shard {
    new: HashMap<Key, Principal>,
    old: HashMap<Key, Principal>,
    bytes: usize,
    old_bytes: usize,
    since: u64,
    counts: Counts,
}

/// What was decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Permits granted.
    pub granted: u64,
    /// Requests refused.
    pub refused: u64,
    /// Permits leased from the shared count.
    pub leased: u64,
}

impl Principals {
    pub(crate) fn new(memory: u64) -> Self {
        Self::with_budget(memory, BUDGET)
    }

    fn with_budget(memory: u64, budget: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            budget: budget / SHARDS / 2,
            memory,
        }
    }

    /// Runs `act` on a principal, who is made if unknown.
    pub(crate) fn with<R>(
        &self,
        key: &Key,
        now: u64,
        act: impl FnOnce(&mut Principal, &mut Counts) -> R,
    ) -> R {
        let mut shard = self.shard(key).lock();
        let shard = &mut *shard;
        if shard.bytes >= self.budget || now.saturating_sub(shard.since) >= self.memory {
            shard.turn(now);
        }
        if !shard.new.contains_key(key) {
            let known = shard.old.remove(key);
            let known = known.inspect(|known| shard.old_bytes -= ENTRY + known.bytes());
            let principal = known.unwrap_or_default();
            shard.bytes += ENTRY + principal.bytes();
            shard.new.insert(*key, principal);
        }
        let principal = shard.new.entry(*key).or_default();
        let before = principal.bytes();
        let result = act(principal, &mut shard.counts);
        shard.bytes = shard.bytes + principal.bytes() - before;
        result
    }

    /// Runs `act` on a principal if it is known.
    pub(crate) fn look<R>(&self, key: &Key, act: impl FnOnce(&Principal) -> R) -> Option<R> {
        let shard = self.shard(key).lock();
        shard.new.get(key).or_else(|| shard.old.get(key)).map(act)
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut shard = self.shard(key).lock();
        if let Some(known) = shard.new.remove(key) {
            shard.bytes -= ENTRY + known.bytes();
        }
        if let Some(known) = shard.old.remove(key) {
            shard.old_bytes -= ENTRY + known.bytes();
        }
    }

    pub(crate) fn count(&self, key: &Key, count: impl FnOnce(&mut Counts)) {
        count(&mut self.shard(key).lock().counts);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| {
            let counts = shard.lock().counts;
            Counts {
                granted: sum.granted + counts.granted,
                refused: sum.refused + counts.refused,
                leased: sum.leased + counts.leased,
            }
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = self.shards.iter().map(|shard| {
            let shard = shard.lock();
            shard.bytes + shard.old_bytes
        });
        bytes.sum()
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[key.shard(SHARDS)]
    }
}

impl Shard {
    fn turn(&mut self, now: u64) {
        self.old = mem::take(&mut self.new);
        self.old_bytes = mem::take(&mut self.bytes);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::{Limit, Mode, Shape};

    #[test]
    fn memory_is_bounded_and_who_is_seen_stays() {
        let shape = Shape::new(Limit::of(60, 60), Mode::Strict);
        let principals = Principals::with_budget(shape.memory(), 1 << 20);
        let key = |number: usize| Key::of(&[&number.to_string()]);
        let take = |number, now| {
            principals.with(&key(number), now, |principal, _| {
                principal.take_alone(&shape, 1, now);
                principal.granted.total()
            })
        };
        for number in 1..100_000 {
            take(number, 0);
            if number % 100 == 0 && number <= 6_000 {
                assert_eq!(take(0, 0), number as u32 / 100, "forgotten");
            }
            assert!(principals.bytes() <= (1 << 20) + SHARDS * 4 * ENTRY);
        }
        // After a while without anybody nothing is left of those who were there.
        let later = shape.memory();
        for number in 0..1_000 {
            assert_eq!(take(number, later), 1);
        }
        for number in 0..1_000 {
            assert_eq!(take(number, 2 * later), 1);
        }
        let entry = ENTRY + 4 * size_of::<(u32, u32)>();
        assert!(principals.bytes() <= 2_000 * entry);
        principals.forget(&key(7));
        assert_eq!(take(7, 2 * later), 1);
    }
}
