//! Recent removals of members, for subscriptions that are being made: a removal between the read of a membership and the
//! subscription finds nothing to end.
//!
//! What must stay true: a removal is recorded after it is durable and before the user's subscriptions are looked up, and
//! whoever subscribes a connection checks here after subscribing it. So one of the two sees the other.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};

/// Removals kept: half a megabyte. Whoever waited for longer than these took has to read the membership again.
const CAPACITY: usize = 4_096;

/// The most recent removals.
#[derive(Default)]
pub struct Removals {
    count: AtomicU64,
    last: Mutex<VecDeque<(RoomId, UserId)>>,
}

/// A point in the sequence of removals.
#[derive(Debug, Clone, Copy)]
pub struct RemovalMark(u64);

impl Removals {
    /// The present point. To be taken before a membership is read.
    pub fn mark(&self) -> RemovalMark {
        RemovalMark(self.count.load(Ordering::Acquire))
    }

    /// Records that `user` is no longer a member of `room`.
    pub fn record(&self, room: &RoomId, user: &UserId) {
        let mut last = self.last.lock();
        if last.len() == CAPACITY {
            last.pop_front();
        }
        last.push_back((room.clone(), user.clone()));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// True if `user` may have been removed from `room` since.
    pub fn may_include(&self, since: RemovalMark, room: &RoomId, user: &UserId) -> bool {
        // Nearly always the case, and takes no lock.
        if self.count.load(Ordering::Acquire) == since.0 {
            return false;
        }
        let last = self.last.lock();
        let passed = self.count.load(Ordering::Acquire) - since.0;
        let Some(first) = (last.len() as u64).checked_sub(passed) else {
            return true;
        };
        let mut passed = last.range(first as usize..);
        passed.any(|(removed_from, removed)| removed == user && removed_from == room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_seen_by_who_began_before_it() {
        let removals = Removals::default();
        let (hall, cellar) = (RoomId::trusted("hall"), RoomId::trusted("cellar"));
        let (ana, bea) = (UserId::trusted("ana"), UserId::trusted("bea"));
        let before = removals.mark();
        assert!(!removals.may_include(before, &hall, &ana));
        removals.record(&hall, &ana);
        let after = removals.mark();
        assert!(removals.may_include(before, &hall, &ana));
        assert!(!removals.may_include(before, &cellar, &ana));
        assert!(!removals.may_include(before, &hall, &bea));
        assert!(!removals.may_include(after, &hall, &ana));
        for _ in 0..CAPACITY {
            removals.record(&cellar, &bea);
        }
        assert!(removals.may_include(before, &hall, &bea), "forgotten");
        assert!(!removals.may_include(after, &hall, &ana));
        assert!(removals.may_include(after, &cellar, &bea));
        assert!(!removals.may_include(removals.mark(), &cellar, &bea));
    }
}
