//! How far one room's log can be seen: up to the last entry with no gap below. Who reserved a `seq` may be about to write
//! it, so what stands above a gap isn't shown yet: everybody sees one order, without gaps. Pure, but for the clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::{Epoch, Timestamp};

/// Runs of entries above the head that are kept of a room; what is beyond is found by reading.
const RUNS: usize = 256;

/// Entries after which a visible head is saved in the room's document: after a start no more than these are read again,
/// which takes a millisecond.
const SAVED_EVERY: u64 = 500;

/// How soon a room's head is saved again, however much is written to it.
const SAVED_AFTER: Duration = Duration::from_secs(5);

/// What this instance knows of how far one room's log goes and can be seen.
pub struct RoomHead {
    pub epoch: Epoch,
    state: Mutex<State>,
}

struct State {
    /// The last `seq` reserved here.
    reserved: u64,
    /// Absent until it was read.
    visible: Option<u64>,
    /// Runs of entries that are known to be written, above the visible head: the first `seq` of each, and the last.
    above: BTreeMap<u64, u64>,
    saved: u64,
    saved_at: Instant,
    /// The time of the last entry that was made here.
    time: Timestamp,
}

impl RoomHead {
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            state: Mutex::new(State {
                reserved: 0,
                visible: None,
                above: BTreeMap::new(),
                saved: 0,
                saved_at: Instant::now(),
                time: Timestamp::from_unix_ms(0),
            }),
        }
    }

    /// The last `seq` known to be taken: reserved here, or written.
    pub fn last_taken(&self) -> u64 {
        let state = self.state.lock();
        let last = state.above.last_key_value().map_or(0, |(_, last)| *last);
        state.reserved.max(last).max(state.visible.unwrap_or(0))
    }

    /// Notes that `seq`s up to `last` were reserved here.
    pub fn reserved(&self, last: u64) {
        let mut state = self.state.lock();
        state.reserved = state.reserved.max(last);
    }

    /// The time for the next entry, never before that of an earlier one: times of what is written here rise with `seq`.
    pub fn time(&self) -> Timestamp {
        let mut state = self.state.lock();
        state.time = state.time.max(Timestamp::now());
        state.time
    }

    /// Notes what was saved in the room's document.
    pub fn saved(&self, seq: u64) {
        self.state.lock().saved = seq;
    }

    /// The visible head as far as it is known; it may be further.
    pub fn known(&self) -> Option<u64> {
        self.state.lock().visible
    }

    /// Notes that these entries are written and durable. True if the visible head has reached them all.
    pub fn written(&self, seqs: impl IntoIterator<Item = u64>) -> bool {
        let mut state = self.state.lock();
        for seq in seqs {
            state.add(seq, seq);
        }
        state.advance();
        state.above.is_empty()
    }

    /// Notes that nothing is missing up to `seq`.
    pub fn seen_to(&self, seq: u64) {
        let mut state = self.state.lock();
        if state.visible.is_none_or(|visible| visible < seq) {
            state.visible = Some(seq);
        }
        state.advance();
    }

    /// The visible head, if it is time to save it in the room's document.
    pub fn due_for_saving(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let visible = state.visible?;
        if visible < state.saved + SAVED_EVERY || state.saved_at.elapsed() < SAVED_AFTER {
            return None;
        }
        state.saved = visible;
        state.saved_at = Instant::now();
        Some(visible)
    }
}

impl State {
    /// Adds a run of entries, joined with its neighbours.
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

/// How far ascending `seq`s that follow `from` go without a gap.
pub fn contiguous(from: u64, seqs: impl IntoIterator<Item = u64>) -> u64 {
    let mut reached = from;
    for seq in seqs {
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
        assert_eq!(head.last_taken(), 10);
    }

    #[test]
    fn a_head_that_is_read_meets_what_was_written() {
        let head = head(None);
        assert!(!head.written([5, 6, 9]));
        assert_eq!((head.known(), head.last_taken()), (None, 9));
        head.seen_to(4);
        assert_eq!(head.known(), Some(6));
        head.seen_to(2);
        assert_eq!(head.known(), Some(6));
        head.seen_to(20);
        assert_eq!(head.known(), Some(20));
        assert!(head.written([12]));
    }

    #[test]
    fn reserved_seqs_are_taken() {
        let head = head(Some(1));
        head.reserved(7);
        head.reserved(5);
        assert_eq!(head.last_taken(), 7);
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
