//! Who is active, until that is written down, and of whom it is known that it is, so that it is written once a day.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use parking_lot::Mutex;
use protocol::{Day, UserId};

/// Users that wait to be written down; more are only noted when they are seen again.
const WAITING_MAX: usize = 100_000;

/// Users that are known to be written down, 8 bytes and what a set adds for each; those beyond are written down again.
const KNOWN_MAX: usize = 1_000_000;

/// Who is active.
#[derive(Default)]
pub(super) struct ActiveUsers {
    hashes: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Day, HashSet<UserId>>,
    /// Of the latest day, hashes of the users that are written down.
    known: (Option<Day>, HashSet<u64>),
}

impl ActiveUsers {
    /// Somebody is active on a day. False if too many wait for that to be noted.
    pub(super) fn saw(&self, day: Day, user: &UserId) -> bool {
        let hash = self.hashes.hash_one(user);
        let mut state = self.state.lock();
        if state.knows(day, hash) {
            return true;
        }
        let waiting: usize = state.waiting.values().map(HashSet::len).sum();
        let has_room = waiting < WAITING_MAX;
        if has_room {
            state.waiting.entry(day).or_default().insert(user.clone());
        }
        has_room
    }

    /// Of these users, those of whom it isn't known that they are written down, each once.
    pub(super) fn unknown(&self, day: Day, users: Vec<&UserId>) -> Vec<UserId> {
        let state = self.state.lock();
        let users: HashSet<&UserId> = users.into_iter().collect();
        let unknown = users.into_iter();
        let unknown = unknown.filter(|user| !state.knows(day, self.hashes.hash_one(user)));
        // In one order, so that two who write the same ones don't wait for each other.
        let mut unknown: Vec<UserId> = unknown.cloned().collect();
        unknown.sort_unstable();
        unknown
    }

    /// Those who wait, who don't any more.
    pub(super) fn take(&self) -> Vec<(Day, Vec<UserId>)> {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        let users = |(day, users): (Day, HashSet<UserId>)| {
            let mut users: Vec<_> = users.into_iter().collect();
            users.sort_unstable();
            (day, users)
        };
        waiting.into_iter().map(users).collect()
    }

    /// They are written down.
    pub(super) fn wrote(&self, day: Day, users: &[UserId]) {
        let mut state = self.state.lock();
        let (latest, known) = &mut state.known;
        if latest.is_none_or(|latest| latest < day) {
            *latest = Some(day);
            known.clear();
        }
        if *latest == Some(day) {
            for user in users {
                if known.len() < KNOWN_MAX {
                    known.insert(self.hashes.hash_one(user));
                }
            }
        }
    }
}

impl State {
    fn knows(&self, day: Day, hash: u64) -> bool {
        self.known.0 == Some(day) && self.known.1.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_down_once_a_day() {
        let day: Day = "2026-01-31".parse().unwrap();
        let (ana, bea) = (UserId::trusted("ana"), UserId::trusted("bea"));
        let active = ActiveUsers::default();
        active.saw(day, &ana);
        active.saw(day, &ana);
        assert_eq!(active.take(), [(day, vec![ana.clone()])]);
        // It may have failed.
        active.saw(day, &ana);
        assert_eq!(active.take().len(), 1);
        active.wrote(day, std::slice::from_ref(&ana));
        active.saw(day, &ana);
        assert_eq!(active.take(), []);
        let unknown = active.unknown(day, vec![&bea, &ana, &bea]);
        assert_eq!(unknown, std::slice::from_ref(&bea));
        let next = day.plus(1);
        active.saw(next, &ana);
        assert_eq!(active.take(), [(next, vec![ana.clone()])]);
        active.wrote(next, std::slice::from_ref(&ana));
        assert_eq!(active.unknown(day, vec![&ana]), [ana]);
    }
}
