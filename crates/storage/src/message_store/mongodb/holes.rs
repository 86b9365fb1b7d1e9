//! Places that were given out and aren't written. Mostly their writer is about to; one that died never will, so a place
//! that stays missing is sealed: filled with a void entry, behind which the room goes on. The key of the place decides
//! who was first. A writer that comes later finds its place taken and asks for another.
//!
//! What must stay true: a place is sealed only after it was seen missing for [`PATIENCE`], in reads of what a majority
//! has that succeeded; while nothing can be read, no time passes. A room that is known to have a hole is looked at until
//! it has none.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use parking_lot::Mutex;
use protocol::{RoomId, Timestamp};

use super::documents::EntryDocument;
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::{MongoStore, Shared};
use crate::StoreError;

/// How long a place may be missing: longer than any round takes that isn't in trouble.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often rooms with holes are looked at.
const EVERY: Duration = Duration::from_millis(250);

/// The most that one look adds to the time that a place has been missing: when this process was stopped, or the last
/// look took long, what was in between wasn't seen.
const STEP: Duration = Duration::from_millis(500);

/// Rooms that are watched at most. One that isn't is noted by the next who reads its log.
const WATCHED: usize = 10_000;

/// Missing places of a room that are watched at once, the lowest first.
const PLACES: usize = 1_000;

/// Rooms that are looked at at once.
const AT_ONCE: usize = 8;

/// Rooms whose logs are known to go on behind a place that isn't known to be written.
#[derive(Default)]
pub(super) struct Holes {
    watched: Mutex<HashMap<RoomId, Watched>>,
}

#[derive(Default)]
struct Watched {
    /// How long each place has been seen missing.
    missing: HashMap<u64, Duration>,
    /// When the log was last read.
    looked_at: Option<Instant>,
}

impl Holes {
    /// Has a room looked at until nothing is missing below what is written.
    pub(super) fn watch(&self, room: &RoomId) {
        let mut watched = self.watched.lock();
        if watched.len() < WATCHED && !watched.contains_key(room) {
            watched.insert(room.clone(), Watched::default());
        }
    }

    pub(super) fn rooms(&self) -> Vec<RoomId> {
        self.watched.lock().keys().cloned().collect()
    }

    fn forget(&self, room: &RoomId) {
        self.watched.lock().remove(room);
    }

    /// Notes which places were missing at a read that began at `now`; returns those that have been for too long.
    fn note(&self, room: &RoomId, missing: &[u64], now: Instant) -> Vec<u64> {
        let mut watched = self.watched.lock();
        if missing.is_empty() {
            watched.remove(room);
            return Vec::new();
        }
        let Some(room) = watched.get_mut(room) else {
            return Vec::new();
        };
        let passed = room
            .looked_at
            .replace(now)
            .map_or(Duration::ZERO, |before| {
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
    fn unreadable(&self, room: &RoomId) {
        if let Some(room) = self.watched.lock().get_mut(room) {
            room.looked_at = None;
        }
    }
}

/// Looks at the rooms with holes until the store is gone.
pub(super) fn start(store: &Arc<Shared>) {
    tokio::spawn(run(Arc::downgrade(store)));
}

async fn run(store: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(store) = store.upgrade().map(|shared| MongoStore { shared }) else {
            return;
        };
        let rooms = store.shared.logs.holes.rooms();
        futures_util::stream::iter(rooms)
            .for_each_concurrent(AT_ONCE, |room| {
                let store = &store;
                async move { store.look_at_hole(&room).await }
            })
            .await;
    }
}

impl MongoStore {
    async fn look_at_hole(&self, room: &RoomId) {
        match self.seal_overdue(room).await {
            Ok(()) => {}
            Err(Failure::Refused(StoreError::NotFound)) => self.shared.logs.holes.forget(room),
            Err(error) => {
                tracing::debug!(?error, "a room with a hole can't be looked at");
                self.shared.logs.holes.unreadable(room);
            }
        }
    }

    async fn seal_overdue(&self, room: &RoomId) -> Outcome<()> {
        let now = Instant::now();
        let head = self.room_head(room).await?;
        let looked = self.look(room, &head).await?;
        let missing = missing(looked.visible, &looked.above);
        let overdue = self.shared.logs.holes.note(room, &missing, now);
        if overdue.is_empty() {
            return Ok(());
        }
        tracing::info!(%room, places = overdue.len(), "places are sealed that nobody came to write");
        self.seal(room, &overdue).await?;
        self.shared.logs.counts.gaps_filled.add(overdue.len());
        self.look(room, &head).await?;
        Ok(())
    }

    /// Fills those of these places that are free with void entries.
    pub(super) async fn seal(&self, room: &RoomId, seqs: &[u64]) -> Outcome<()> {
        let at = Timestamp::now();
        let voids = seqs.iter().map(|seq| EntryDocument::void(room, *seq, at));
        let log = &self.collections().await?.room_log;
        let insert = log.insert_many(voids).ordered(false);
        match bounded(insert).await {
            // Somebody was first, which is as well.
            Err(Failure::Mongodb(error)) if is_duplicate(&error) => Ok(()),
            result => result.map(drop),
        }
    }
}

/// The places that are missing between `visible` and the last of those `above`, which ascend.
fn missing(visible: u64, above: &[u64]) -> Vec<u64> {
    let mut missing = Vec::new();
    let mut last = visible;
    for &seq in above {
        let room = PLACES - missing.len();
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
        assert_eq!(missing(0, &[u64::MAX]).len(), PLACES);
    }

    #[test]
    fn only_time_that_was_seen_counts() {
        let holes = Holes::default();
        let room: RoomId = "room".parse().unwrap();
        let mut now = Instant::now();
        let mut look = |missing: &[u64], after_ms: u64| {
            now += Duration::from_millis(after_ms);
            holes.note(&room, missing, now)
        };
        holes.watch(&room);
        assert_eq!(look(&[4], 0), NONE);
        // However long it took, one look sees half a second.
        for _ in 0..3 {
            assert_eq!(look(&[4], 10_000), NONE);
        }
        assert_eq!(look(&[4, 7], 500), [4]);
        // A read that failed breaks the chain, but doesn't undo what was seen.
        holes.unreadable(&room);
        assert_eq!(look(&[7], 500), NONE);
        for _ in 0..3 {
            assert_eq!(look(&[7], 500), NONE);
        }
        assert_eq!(look(&[7], 500), [7]);
        // What is written isn't missing any more, and begins anew should it be again.
        assert_eq!(look(&[], 500), NONE);
        assert_eq!(look(&[7], 500), NONE);
        assert!(holes.rooms().is_empty());
    }
}
