//! Which gaps the logs have: `seq`s that were reserved and aren't written. Mostly their writer is about to write them; one
//! that died never will, so a `seq` that stays missing is filled (see `gap_filler.rs`). Pure.
//!
//! What must stay true: a `seq` is overdue only after it was seen missing for [`PATIENCE`], in successful reads of what a
//! majority has; while nothing can be read, no time passes. A room that is known to have a gap is read until it has none.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::RoomId;

/// How long a `seq` may be missing: longer than any round takes that isn't in trouble.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that one read adds to the time that a `seq` has been missing: when this process was stopped, or the last read
/// took long, what was in between wasn't seen.
const STEP: Duration = Duration::from_millis(500);

/// Rooms that are watched at most. One that isn't is noted by the next who reads its log.
const WATCHED: usize = 10_000;

/// Missing `seq`s of a room that are watched at once, the lowest first.
const SEQS: usize = 1_000;

/// Rooms whose logs are known to go on behind a gap.
#[derive(Default)]
pub struct GapWatch {
    watched: Mutex<HashMap<RoomId, Watched>>,
}

#[derive(Default)]
struct Watched {
    /// How long each `seq` has been seen missing.
    missing: HashMap<u64, Duration>,
    /// When the log was last read.
    read_at: Option<Instant>,
}

impl GapWatch {
    /// Has a room read until nothing is missing below what is written.
    pub fn watch(&self, room: &RoomId) {
        let mut watched = self.watched.lock();
        if watched.len() < WATCHED && !watched.contains_key(room) {
            watched.insert(room.clone(), Watched::default());
        }
    }

    /// How many rooms are watched.
    pub fn len(&self) -> u64 {
        self.watched.lock().len() as u64
    }

    /// The rooms that are watched.
    pub fn rooms(&self) -> Vec<RoomId> {
        self.watched.lock().keys().cloned().collect()
    }

    /// Watches a room no longer: it is gone.
    pub fn forget(&self, room: &RoomId) {
        self.watched.lock().remove(room);
    }

    /// Notes which `seq`s were missing at a read that began at `now`; returns those that have been missing for too long.
    pub fn note(&self, room: &RoomId, missing: &[u64], now: Instant) -> Vec<u64> {
        let mut watched = self.watched.lock();
        if missing.is_empty() {
            watched.remove(room);
            return Vec::new();
        }
        let Some(room) = watched.get_mut(room) else {
            return Vec::new();
        };
        let passed = room.read_at.replace(now).map_or(Duration::ZERO, |before| {
            now.duration_since(before).min(STEP)
        });
        let before = std::mem::take(&mut room.missing);
        let mut overdue = Vec::new();
        for &seq in missing {
            let age = before.get(&seq).map_or(Duration::ZERO, |age| *age + passed);
            if age >= PATIENCE {
                overdue.push(seq);
            }
            room.missing.insert(seq, age);
        }
        overdue
    }

    /// Notes that a room couldn't be read.
    pub fn unreadable(&self, room: &RoomId) {
        if let Some(room) = self.watched.lock().get_mut(room) {
            room.read_at = None;
        }
    }
}

/// The `seq`s that are missing between `visible` and the last of those `above`, which ascend.
pub fn missing(visible: u64, above: &[u64]) -> Vec<u64> {
    let mut missing = Vec::new();
    let mut last = visible;
    for &seq in above {
        let room = SEQS - missing.len();
        missing.extend((last + 1..seq).take(room));
        last = seq;
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; 0] = [];

    #[test]
    fn what_lies_between_is_missing() {
        assert_eq!(missing(3, &[]), NONE);
        assert_eq!(missing(3, &[5, 6, 9]), [4, 7, 8]);
        assert_eq!(missing(0, &[u64::MAX]).len(), SEQS);
    }

    #[test]
    fn only_time_between_successful_reads_counts() {
        let watch = GapWatch::default();
        let room: RoomId = "room".parse().unwrap();
        let mut now = Instant::now();
        let mut look = |missing: &[u64], after_ms: u64| {
            now += Duration::from_millis(after_ms);
            watch.note(&room, missing, now)
        };
        watch.watch(&room);
        assert_eq!(look(&[4], 0), NONE);
        // However long it took, one look sees half a second.
        for _ in 0..3 {
            assert_eq!(look(&[4], 10_000), NONE);
        }
        assert_eq!(look(&[4, 7], 500), [4]);
        // A read that failed breaks the chain, but doesn't undo what was seen.
        watch.unreadable(&room);
        assert_eq!(look(&[7], 500), NONE);
        for _ in 0..3 {
            assert_eq!(look(&[7], 500), NONE);
        }
        assert_eq!(look(&[7], 500), [7]);
        // What is written isn't missing any more, and begins anew should it be again.
        assert_eq!(look(&[], 500), NONE);
        assert_eq!(look(&[7], 500), NONE);
        assert!(watch.rooms().is_empty());
    }
}
