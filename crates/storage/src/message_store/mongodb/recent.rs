//! What was read from the database a moment ago. Bounded, short-lived, and never older than the last that was heard of
//! a change.
//!
//! Each value is kept with the marks of what it depends on, as they stood before it was read. Hearing of a change moves
//! a mark, and a value whose marks have moved is none any more. So a read that was overtaken by a change can't put the
//! old value back, and forgetting costs the same whatever depends on it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};

/// How long a value is believed when nothing is heard: who was removed from a room writes no longer than this where
/// the bus is down.
pub(super) const LIFE: Duration = Duration::from_secs(10);

/// Marks are shared by those whose hashes fall together, which costs a read now and then. A quarter of a megabyte: with
/// a thousand changes a second a mark is hit by somebody else's once a minute.
const MARKS: usize = 1 << 16;

/// What may change.
#[derive(Hash)]
pub(super) enum Thing<'a> {
    /// What is told by [`super::MongoStore::forget_room`].
    Room(&'a RoomId),
    /// What is told by [`super::MongoStore::forget_user`].
    User(&'a UserId),
    /// What one user is to one room.
    Member(&'a RoomId, &'a UserId),
    /// Who is in a room.
    Crowd(&'a RoomId),
    /// Anything: changes may have been missed.
    Everything,
}

/// Things that may change, as marks.
pub(super) struct Marks {
    marks: Box<[AtomicU32]>,
    /// Moves with [`Thing::Everything`].
    everything: AtomicU32,
    hasher: RandomState,
}

/// Where the marks of up to three things stood, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    marks: [(u16, u32); 3],
    everything: u32,
    pub at: Instant,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            marks: (0..MARKS).map(|_| AtomicU32::new(0)).collect(),
            everything: AtomicU32::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The place of a thing among the marks.
    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash")]
    fn place(&self, thing: &Thing<'_>) -> u16 {
        self.hasher.hash_one(thing) as u16
    }

    fn stands(&self, place: u16) -> u32 {
        self.marks[usize::from(place)].load(Ordering::Acquire)
    }

    /// To be called before the value is read that depends on these things.
    pub(super) fn see(&self, things: [Thing<'_>; 3]) -> Seen {
        let at = Instant::now();
        let everything = self.everything.load(Ordering::Acquire);
        let marks = things.map(|thing| {
            let place = self.place(&thing);
            (place, self.stands(place))
        });
        Seen {
            marks,
            everything,
            at,
        }
    }

    /// To be called after a thing has changed, or may have.
    pub(super) fn changed(&self, thing: &Thing<'_>) {
        let mark = match thing {
            Thing::Everything => &self.everything,
            thing => &self.marks[usize::from(self.place(thing))],
        };
        mark.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether nothing was heard of since.
    pub(super) fn unchanged(&self, seen: Seen) -> bool {
        self.everything.load(Ordering::Acquire) == seen.everything
            && seen
                .marks
                .iter()
                .all(|&(place, stood)| self.stands(place) == stood)
    }
}

/// Values by key, at most so many: the longest unused go.
pub(super) struct Recent<K, V> {
    halves: Mutex<Halves<K, V>>,
    half: usize,
}

/// The values used lately, and those from before. When the first half is full it becomes the second, whose values go.
struct Halves<K, V> {
    new: HashMap<K, Kept<V>>,
    old: HashMap<K, Kept<V>>,
}

/// A value that was read.
#[derive(Clone)]
pub(super) struct Kept<V> {
    pub value: V,
    pub seen: Seen,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            halves: Mutex::new(Halves {
                new: HashMap::new(),
                old: HashMap::new(),
            }),
            half: capacity.div_ceil(2),
        }
    }

    /// A value that is young enough and that nothing was heard against.
    pub(super) fn get(&self, key: &K, marks: &Marks) -> Option<V>
    where
        K: Clone,
    {
        let kept = self.kept(key)?;
        let fresh = kept.seen.at.elapsed() < LIFE && marks.unchanged(kept.seen);
        fresh.then_some(kept.value)
    }

    /// What is kept, believable or not.
    pub(super) fn kept(&self, key: &K) -> Option<Kept<V>>
    where
        K: Clone,
    {
        let mut halves = self.halves.lock();
        if let Some(kept) = halves.new.get(key) {
            return Some(kept.clone());
        }
        let kept = halves.old.remove(key)?;
        self.insert(&mut halves, key.clone(), kept.clone());
        Some(kept)
    }

    /// Keeps what was read. `seen` is from before the read.
    pub(super) fn put(&self, key: K, value: V, seen: Seen) {
        self.insert(&mut self.halves.lock(), key, Kept { value, seen });
    }

    fn insert(&self, halves: &mut Halves<K, V>, key: K, kept: Kept<V>) {
        if halves.new.len() >= self.half {
            halves.old = mem::take(&mut halves.new);
        }
        halves.new.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(marks: &Marks, room: &RoomId) -> Seen {
        marks.see([Thing::Room(room), Thing::Crowd(room), Thing::Crowd(room)])
    }

    fn room() -> RoomId {
        RoomId::trusted("room")
    }

    #[test]
    fn a_value_overtaken_by_a_change_is_not_believed() {
        let (marks, recent, room) = (Marks::new(), Recent::new(10), room());
        // Read before the change, put after it.
        let before = seen(&marks, &room);
        marks.changed(&Thing::Room(&room));
        recent.put("role", "owner", before);
        assert_eq!(recent.get(&"role", &marks), None);
        // Read after the change.
        recent.put("role", "member", seen(&marks, &room));
        assert_eq!(recent.get(&"role", &marks), Some("member"));
        marks.changed(&Thing::Crowd(&room));
        assert_eq!(recent.get(&"role", &marks), None);
        recent.put("role", "owner", seen(&marks, &room));
        assert_eq!(recent.get(&"role", &marks), Some("owner"));
        marks.changed(&Thing::Everything);
        assert_eq!(recent.get(&"role", &marks), None);
    }

    #[test]
    fn a_value_is_believed_for_its_life_alone() {
        let (marks, recent, room) = (Marks::new(), Recent::new(10), room());
        let now = seen(&marks, &room);
        let at = now.at.checked_sub(LIFE).unwrap();
        recent.put("old", 1, Seen { at, ..now });
        recent.put("new", 2, now);
        assert_eq!(recent.get(&"old", &marks), None);
        assert_eq!(recent.get(&"new", &marks), Some(2));
    }

    #[test]
    fn the_longest_unused_go() {
        let (marks, recent, room) = (Marks::new(), Recent::new(100), room());
        for number in 0..10_000 {
            recent.put(number, number, seen(&marks, &room));
            assert_eq!(recent.get(&0, &marks), Some(0), "used all the time");
        }
        let kept = (0..10_000).filter(|number| recent.get(number, &marks).is_some());
        assert!((50..=100).contains(&kept.count()));
    }
}
