//! How far a room's log can be seen: up to the last place with nothing missing below. Who took a place may be about to
//! write it, so what stands above a missing one isn't shown yet: everybody sees one order, without gaps.
//!
//! What was seen once stays seen. Each room that this instance deals with has its visible head in memory; it moves on
//! with what this instance writes itself, and with what it finds when it reads from there on. Now and then it is noted
//! in the room's document, so that a start needn't read the whole log.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use parking_lot::Mutex;
use protocol::{Epoch, RoomId, Timestamp};
use serde::Deserialize;

use super::MongoStore;
use super::collections::log_order;
use super::documents::stored_seq;
use super::failure::{Outcome, bounded};
use crate::StoreError;

/// Rooms in memory: twice this, half of them those dealt with last. About 300 bytes each.
const HALF: usize = 25_000;

/// Runs of places above the head that are kept of a room; what is beyond is found by reading.
const RUNS: usize = 256;

/// Places that are looked through with one read.
const LOOKED_THROUGH: usize = 2_000;

/// Places after which a visible head is noted in the room's document: a start reads no more than these again, which
/// takes a millisecond.
const NOTED_EVERY: u64 = 500;

/// How soon a room's head is noted again, however much is written to it.
const NOTED_AFTER: Duration = Duration::from_secs(5);

/// The visible heads of the rooms that this instance deals with.
#[derive(Default)]
pub(super) struct Heads {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    recent: HashMap<RoomId, Arc<RoomHead>>,
    older: HashMap<RoomId, Arc<RoomHead>>,
}

impl Heads {
    /// The head of a room in this life of its log.
    fn of(&self, room: &RoomId, epoch: &Epoch) -> Arc<RoomHead> {
        let mut halves = self.halves.lock();
        let known = halves
            .recent
            .get(room)
            .cloned()
            .or_else(|| halves.older.remove(room))
            .filter(|head| head.epoch == *epoch);
        let head = known.unwrap_or_else(|| Arc::new(RoomHead::new(epoch.clone())));
        if halves.recent.len() >= HALF {
            halves.older = mem::take(&mut halves.recent);
        }
        halves.recent.insert(room.clone(), Arc::clone(&head));
        head
    }
}

/// How far one room's log can be seen, as far as this instance knows.
pub(super) struct RoomHead {
    pub epoch: Epoch,
    state: Mutex<State>,
}

struct State {
    /// The last place given out here.
    issued: u64,
    /// Absent until it was read.
    visible: Option<u64>,
    /// Runs of places that are known to be written, above the visible head: the first of each, and the last.
    above: BTreeMap<u64, u64>,
    noted: u64,
    noted_at: Instant,
    /// The time of the last entry that was made here.
    time: Timestamp,
}

impl RoomHead {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            state: Mutex::new(State {
                issued: 0,
                visible: None,
                above: BTreeMap::new(),
                noted: 0,
                noted_at: Instant::now(),
                time: Timestamp::from_unix_ms(0),
            }),
        }
    }

    /// The last place known to be taken: given out here, or written.
    pub(super) fn taken(&self) -> u64 {
        let state = self.state.lock();
        let last = state.above.last_key_value().map_or(0, |(_, last)| *last);
        state.issued.max(last).max(state.visible.unwrap_or(0))
    }

    /// Notes that places up to `last` were given out here.
    pub(super) fn issued(&self, last: u64) {
        let mut state = self.state.lock();
        state.issued = state.issued.max(last);
    }

    /// The time for the next entry, never before that of an earlier one: times of what is written here rise with `seq`.
    pub(super) fn time(&self) -> Timestamp {
        let mut state = self.state.lock();
        state.time = state.time.max(Timestamp::now());
        state.time
    }

    /// The visible head as far as it is known; it may be further.
    pub(super) fn known(&self) -> Option<u64> {
        self.state.lock().visible
    }

    /// Notes that these places are written and durable. Says whether the visible head has reached them all.
    fn written(&self, seqs: impl IntoIterator<Item = u64>) -> bool {
        let mut state = self.state.lock();
        for seq in seqs {
            state.add(seq, seq);
        }
        state.advance();
        state.above.is_empty()
    }

    /// Notes that nothing is missing up to `seq`.
    fn seen_to(&self, seq: u64) {
        let mut state = self.state.lock();
        if state.visible.is_none_or(|visible| visible < seq) {
            state.visible = Some(seq);
        }
        state.advance();
    }

    /// The head to be noted in the room's document, if it is time.
    fn to_be_noted(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let visible = state.visible?;
        if visible < state.noted + NOTED_EVERY || state.noted_at.elapsed() < NOTED_AFTER {
            return None;
        }
        state.noted = visible;
        state.noted_at = Instant::now();
        Some(visible)
    }
}

impl State {
    /// Adds a run of places, joined with its neighbours.
    fn add(&mut self, first: u64, last: u64) {
        if self.visible.is_some_and(|visible| last <= visible) {
            return;
        }
        let (mut first, mut last) = (first, last);
        if let Some((&before, &end)) = self.above.range(..=first).next_back()
            && end + 1 >= first
        {
            first = before;
            last = last.max(end);
        }
        while let Some((&next, &end)) = self.above.range(first..).next()
            && next <= last + 1
        {
            self.above.remove(&next);
            last = last.max(end);
        }
        self.above.insert(first, last);
        if self.above.len() > RUNS {
            self.above.pop_last();
        }
    }

    /// Moves the visible head over the runs that it has reached.
    fn advance(&mut self) {
        let Some(mut visible) = self.visible else {
            return;
        };
        while let Some(run) = self.above.first_entry()
            && *run.key() <= visible + 1
        {
            visible = visible.max(run.remove());
        }
        self.visible = Some(visible);
    }
}

/// What was found on reading a log from its visible head on.
pub(super) struct Looked {
    /// Where the head is now.
    pub visible: u64,
    /// Places above it that are written.
    pub above: Vec<u64>,
}

#[derive(Deserialize)]
struct Place {
    seq: i64,
}

impl MongoStore {
    /// What is remembered of a room's head. `NotFound` if there is no such room.
    pub(super) async fn room_head(&self, room: &RoomId) -> Outcome<Arc<RoomHead>> {
        let facts = self.room_facts(room).await?;
        Ok(self.shared.logs.heads.of(room, &facts.epoch))
    }

    /// The visible head of a room, read anew.
    pub(super) async fn visible(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        Ok(self.look(room, head).await?.visible)
    }

    /// Reads on from the visible head, as far as nothing is missing.
    pub(super) async fn look(&self, room: &RoomId, head: &RoomHead) -> Outcome<Looked> {
        let mut visible = self.known(room, head).await?;
        loop {
            let places = self.places_after(room, visible).await?;
            let whole = places.len() < LOOKED_THROUGH;
            let reached = contiguous(visible, places.iter().copied());
            let above = places.into_iter().filter(|seq| *seq > reached).collect();
            let stuck = reached == visible;
            visible = reached;
            self.seen(room, head, visible);
            if whole || stuck {
                let above: Vec<u64> = above;
                if !above.is_empty() {
                    self.shared.logs.holes.watch(room);
                }
                return Ok(Looked { visible, above });
            }
        }
    }

    /// Notes that these places of a room are written and durable. If something is missing below, it is looked for.
    pub(super) fn written(&self, room: &RoomId, head: &RoomHead, seqs: &[u64]) {
        let before = head.known();
        if !head.written(seqs.iter().copied()) {
            self.shared.logs.holes.watch(room);
        }
        self.moved(room, head, before);
    }

    /// Notes that nothing is missing up to a place.
    pub(super) fn seen(&self, room: &RoomId, head: &RoomHead, seq: u64) {
        let before = head.known();
        head.seen_to(seq);
        self.moved(room, head, before);
    }

    /// What follows from a head that has moved: now and then it is noted in the room's document, and the words that it
    /// has passed are written down.
    fn moved(&self, room: &RoomId, head: &RoomHead, before: Option<u64>) {
        if let (Some(before), Some(now)) = (before, head.known()) {
            self.shared.logs.words.passed(room, before, now);
        }
        if let Some(seq) = head.to_be_noted() {
            let (store, room) = (self.clone(), room.clone());
            tokio::spawn(async move {
                if let Err(error) = store.note_head(&room, seq).await {
                    tracing::debug!(?error, "a visible head wasn't noted");
                }
            });
        }
    }

    /// The visible head as it is remembered, or else as it was noted last.
    pub(super) async fn known(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        if let Some(visible) = head.known() {
            return Ok(visible);
        }
        let noted = self.noted_head(room).await?;
        head.state.lock().noted = noted;
        head.seen_to(noted);
        Ok(head.known().unwrap_or(noted))
    }

    /// The head that was noted in the room's document, or the place up to which the log was trimmed.
    pub(super) async fn noted_head(&self, room: &RoomId) -> Outcome<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Noted {
            #[serde(default)]
            floor_seq: i64,
            #[serde(default)]
            head_hint: i64,
        }
        let rooms = self.collections().await?.rooms.clone_with_type::<Noted>();
        let find = rooms
            .find_one(doc! { "_id": room.as_str() })
            .projection(doc! { "_id": 0, "floorSeq": 1, "headHint": 1 });
        let noted = bounded(find).await?.ok_or(StoreError::NotFound)?;
        Ok(noted.floor_seq.max(noted.head_hint).unsigned_abs())
    }

    async fn note_head(&self, room: &RoomId, seq: u64) -> Outcome<()> {
        let rooms = &self.collections().await?.rooms;
        let raise = doc! { "$max": { "headHint": stored_seq(seq) } };
        bounded(rooms.update_one(doc! { "_id": room.as_str() }, raise)).await?;
        Ok(())
    }

    /// The next places of a room that are written, from the index alone.
    async fn places_after(&self, room: &RoomId, seq: u64) -> Outcome<Vec<u64>> {
        let log = self
            .collections()
            .await?
            .room_log
            .clone_with_type::<Place>();
        let places: Vec<Place> = super::collections::all(
            log.find(after(room, seq))
                .sort(doc! { "seq": 1 })
                .limit(LOOKED_THROUGH as i64)
                .projection(doc! { "_id": 0, "seq": 1 })
                .hint(Hint::Keys(log_order())),
        )
        .await?;
        Ok(places
            .iter()
            .map(|place| place.seq.unsigned_abs())
            .collect())
    }

    /// The last place of a room's log that is written, or that it was trimmed up to, whatever is missing below.
    pub(super) async fn log_end(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        let log = self
            .collections()
            .await?
            .room_log
            .clone_with_type::<Place>();
        // Also what a majority hasn't got yet: its place is taken, or soon free, and then found to be missing.
        let last = log
            .find_one(after(room, 0))
            .sort(doc! { "seq": -1 })
            .projection(doc! { "_id": 0, "seq": 1 })
            .hint(Hint::Keys(log_order()))
            .read_concern(mongodb::options::ReadConcern::local());
        let last = bounded(last)
            .await?
            .map_or(0, |place| place.seq.unsigned_abs());
        Ok(last.max(self.known(room, head).await?))
    }
}

/// The entries of a room behind a place, as a filter.
pub(super) fn after(room: &RoomId, seq: u64) -> Document {
    doc! { "roomId": room.as_str(), "seq": { "$gt": stored_seq(seq) } }
}

/// How far places that follow `from` in ascending order go without a gap.
pub(super) fn contiguous(from: u64, places: impl IntoIterator<Item = u64>) -> u64 {
    let mut reached = from;
    for seq in places {
        if seq > reached + 1 {
            break;
        }
        reached = reached.max(seq);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(visible: Option<u64>) -> RoomHead {
        let head = RoomHead::new(Epoch::new("e"));
        if let Some(seq) = visible {
            head.seen_to(seq);
        }
        head
    }

    #[test]
    fn what_is_written_behind_the_head_moves_it() {
        let head = head(Some(3));
        assert!(head.written([4, 5]));
        assert_eq!(head.known(), Some(5));
        assert!(!head.written([8, 7, 10]));
        assert_eq!(head.known(), Some(5));
        assert!(!head.written([6]));
        assert_eq!(head.known(), Some(8));
        assert!(head.written([9]));
        assert_eq!(head.known(), Some(10));
        assert!(head.written([2]));
        assert_eq!(head.taken(), 10);
    }

    #[test]
    fn a_head_that_is_read_meets_what_was_written() {
        let head = head(None);
        assert!(!head.written([5, 6, 9]));
        assert_eq!((head.known(), head.taken()), (None, 9));
        head.seen_to(4);
        assert_eq!(head.known(), Some(6));
        head.seen_to(2);
        assert_eq!(head.known(), Some(6));
        head.seen_to(20);
        assert_eq!(head.known(), Some(20));
        assert!(head.written([12]));
    }

    #[test]
    fn places_given_out_are_taken() {
        let head = head(Some(1));
        head.issued(7);
        head.issued(5);
        assert_eq!(head.taken(), 7);
    }

    #[test]
    fn runs_are_joined_and_bounded() {
        let head = head(Some(0));
        for seq in (2..4 * RUNS as u64).step_by(2) {
            head.written([seq]);
        }
        assert!(head.state.lock().above.len() <= RUNS);
        for seq in (1..4 * RUNS as u64).step_by(2) {
            head.written([seq]);
        }
        // The runs that were dropped are found by reading; those that weren't are joined.
        assert!(head.known() >= Some(2 * RUNS as u64));
        assert!(head.state.lock().above.len() <= RUNS);
    }

    #[test]
    fn a_gap_ends_what_is_contiguous() {
        assert_eq!(contiguous(3, [4, 5, 7]), 5);
        assert_eq!(contiguous(3, [5]), 3);
        assert_eq!(contiguous(3, []), 3);
        assert_eq!(contiguous(3, [2, 3, 4]), 4);
    }
}
