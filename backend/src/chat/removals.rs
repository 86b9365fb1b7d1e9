//! Who was removed from which room lately, for those who are just being let in: between the look at somebody's
//! membership and the subscription a removal finds nothing to end.
//!
//! What must stay true: a removal is noted after it is durable and before the user's subscriptions are looked for, and
//! who lets somebody in looks here once the subscription is made. So one of the two sees the other.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};

/// Removals that are remembered: half a megabyte. Who has waited for longer than these took looks anew.
const REMEMBERED: usize = 4_096;

/// The last removals.
#[derive(Default)]
pub struct Removals {
    count: AtomicU64,
    last: Mutex<VecDeque<(RoomId, UserId)>>,
}

/// A moment, by the removals before it.
#[derive(Debug, Clone, Copy)]
pub struct Moment(u64);

impl Removals {
    /// Now. To be taken before a membership is read.
    pub fn now(&self) -> Moment {
        Moment(self.count.load(Ordering::Acquire))
    }

    /// `user` isn't in `room` any more.
    pub fn note(&self, room: &RoomId, user: &UserId) {
        let mut last = self.last.lock();
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back((room.clone(), user.clone()));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether `user` may have been removed from `room` since.
    pub fn may_have_happened(&self, since: Moment, room: &RoomId, user: &UserId) -> bool {
        // Nearly always: no lock.
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
        let before = removals.now();
        assert!(!removals.may_have_happened(before, &hall, &ana));
        removals.note(&hall, &ana);
        let after = removals.now();
        assert!(removals.may_have_happened(before, &hall, &ana));
        assert!(!removals.may_have_happened(before, &cellar, &ana));
        assert!(!removals.may_have_happened(before, &hall, &bea));
        assert!(!removals.may_have_happened(after, &hall, &ana));
        for _ in 0..REMEMBERED {
            removals.note(&cellar, &bea);
        }
        assert!(removals.may_have_happened(before, &hall, &bea), "forgotten");
        assert!(!removals.may_have_happened(after, &hall, &ana));
        assert!(removals.may_have_happened(after, &cellar, &bea));
        assert!(!removals.may_have_happened(removals.now(), &cellar, &bea));
    }
}
