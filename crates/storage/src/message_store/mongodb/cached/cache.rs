//! Values that were read from the database a moment ago: bounded, short-lived, and never older than the last
//! invalidation that this instance made or heard of.
//!
//! Each value is stored with the versions of what it depends on, as they were before it was read. An invalidation
//! raises a version, and a value with an outdated version isn't returned any more. So a read that was overtaken by a
//! change can't put the old value back, and an invalidation costs the same whatever depends on it.
//!
//! The server's own cache (in memory and in Redis) isn't used here: on the path of a message a look-up there takes three times as long,
//! values depend on several subjects and many are read at once, and a right that was taken away must not be found in Redis.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};

use super::super::generations::Generations;

/// How long a value is valid without an invalidation: where the bus is down, somebody who was removed from a room can
/// write for this long.
pub const LIFE: Duration = Duration::from_secs(10);

/// Versions. Subjects share one if their hashes collide, which costs a read now and then. They take a quarter of a
/// megabyte: at a thousand changes a second, each is raised for another subject once a minute.
const VERSIONS: usize = 1 << 16;

/// What may change.
#[derive(Hash)]
pub enum Subject<'a> {
    /// The room itself, and everything about it.
    Room(&'a RoomId),
    /// The name, the blocks or the account of a user.
    User(&'a UserId),
    /// One user's membership in one room.
    Membership(&'a RoomId, &'a UserId),
    /// The list of a room's members.
    Members(&'a RoomId),
}

/// Versions of everything that may change.
pub struct Invalidations {
    versions: Box<[AtomicU32]>,
    /// Raised when changes may have been missed.
    everything: AtomicU32,
    hasher: RandomState,
}

/// The versions of up to three subjects at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    versions: [(u16, u32); 3],
    everything: u32,
    pub at: Instant,
}

impl Invalidations {
    pub fn new() -> Self {
        Self {
            versions: (0..VERSIONS).map(|_| AtomicU32::new(0)).collect(),
            everything: AtomicU32::new(0),
            hasher: RandomState::new(),
        }
    }

    /// A user's membership in a room has changed, or may have. To be called after the change, as the others.
    pub fn membership(&self, room: &RoomId, user: &UserId) {
        self.raise(&Subject::Membership(room, user));
        self.raise(&Subject::Members(room));
    }

    /// A room has changed.
    pub fn room(&self, room: &RoomId) {
        self.raise(&Subject::Room(room));
        self.raise(&Subject::Members(room));
    }

    /// The name, the blocks or the account of a user have changed.
    pub fn user(&self, user: &UserId) {
        self.raise(&Subject::User(user));
    }

    /// Changes may have been missed.
    pub fn everything(&self) {
        self.everything.fetch_add(1, Ordering::AcqRel);
    }

    fn raise(&self, subject: &Subject<'_>) {
        self.versions[usize::from(self.index(subject))].fetch_add(1, Ordering::AcqRel);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash")]
    fn index(&self, subject: &Subject<'_>) -> u16 {
        self.hasher.hash_one(subject) as u16
    }

    fn version(&self, index: u16) -> u32 {
        self.versions[usize::from(index)].load(Ordering::Acquire)
    }

    /// The versions of these subjects. To be taken before the value is read that depends on them.
    pub fn stamp(&self, subjects: [Subject<'_>; 3]) -> Stamp {
        let at = Instant::now();
        let everything = self.everything.load(Ordering::Acquire);
        let versions = subjects.map(|subject| {
            let index = self.index(&subject);
            (index, self.version(index))
        });
        Stamp {
            versions,
            everything,
            at,
        }
    }

    /// True if nothing was invalidated since.
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.everything.load(Ordering::Acquire) == stamp.everything
            && stamp
                .versions
                .iter()
                .all(|&(index, version)| self.version(index) == version)
    }
}

/// Values by key, bounded in number.
pub struct Cache<K, V> {
    entries: Mutex<Generations<K, Entry<V>>>,
    invalidations: Arc<Invalidations>,
}

/// A value that was read.
#[derive(Clone)]
pub struct Entry<V> {
    pub value: V,
    pub stamp: Stamp,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub fn new(capacity: usize, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            entries: Mutex::new(Generations::new(capacity)),
            invalidations: Arc::clone(invalidations),
        }
    }

    /// The value of a key, if it is valid.
    pub fn get(&self, key: &K) -> Option<V> {
        let entry = self.entry(key)?;
        let is_fresh = entry.stamp.at.elapsed() < LIFE;
        (is_fresh && self.is_current(entry.stamp)).then_some(entry.value)
    }

    /// What is stored for a key, valid or not.
    pub fn entry(&self, key: &K) -> Option<Entry<V>> {
        self.entries.lock().get(key)
    }

    /// Stores what was read. `stamp` was taken before the read.
    pub fn put(&self, key: K, value: V, stamp: Stamp) {
        self.entries.lock().insert(key, Entry { value, stamp });
    }

    /// See [`Invalidations::stamp`].
    pub fn stamp(&self, subjects: [Subject<'_>; 3]) -> Stamp {
        self.invalidations.stamp(subjects)
    }

    /// See [`Invalidations::is_current`].
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.invalidations.is_current(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (
        Arc<Invalidations>,
        Cache<&'static str, &'static str>,
        RoomId,
    ) {
        let invalidations = Arc::new(Invalidations::new());
        let cache = Cache::new(10, &invalidations);
        (invalidations, cache, RoomId::trusted("room"))
    }

    fn stamp(invalidations: &Invalidations, room: &RoomId) -> Stamp {
        let list = || Subject::Members(room);
        invalidations.stamp([Subject::Room(room), list(), list()])
    }

    #[test]
    fn a_value_overtaken_by_a_change_is_not_returned() {
        let (invalidations, cache, room) = cache();
        let bob = UserId::trusted("bob");
        // Read before the change, put after it.
        let before = stamp(&invalidations, &room);
        invalidations.room(&room);
        cache.put("role", "owner", before);
        assert_eq!(cache.get(&"role"), None);
        // Read after the change.
        cache.put("role", "member", stamp(&invalidations, &room));
        assert_eq!(cache.get(&"role"), Some("member"));
        invalidations.membership(&room, &bob);
        assert_eq!(cache.get(&"role"), None);
        cache.put("role", "owner", stamp(&invalidations, &room));
        assert_eq!(cache.get(&"role"), Some("owner"));
        invalidations.everything();
        assert_eq!(cache.get(&"role"), None);
    }

    #[test]
    fn a_value_is_valid_for_its_life_alone() {
        let (invalidations, cache, room) = cache();
        let now = stamp(&invalidations, &room);
        let at = now.at.checked_sub(LIFE).unwrap();
        cache.put("old", "1", Stamp { at, ..now });
        cache.put("new", "2", now);
        assert_eq!(cache.get(&"old"), None);
        assert_eq!(cache.get(&"new"), Some("2"));
    }
}
