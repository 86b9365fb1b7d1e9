//! The state of a circuit, in one word.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

/// Whether calls are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All calls are.
    Closed,
    /// One call, the probe, is under way, and all others are refused.
    HalfOpen,
    /// None is.
    Open,
}

/// Who decides on the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The outcomes of calls.
    Automatic,
    /// An operator: open.
    Open,
    /// An operator: closed.
    Closed,
}

/// Everything that decides whether a call is admitted. Equal words are the same period: each change has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const NUMBER_SHIFT: u32 = TIME_BITS;
const NUMBER_MASK: u64 = 0xFFFF;
const STATE_SHIFT: u32 = NUMBER_SHIFT + 16;
const MODE_SHIFT: u32 = STATE_SHIFT + 2;

impl Word {
    pub(crate) fn mode(self) -> Mode {
        match self.0 >> MODE_SHIFT {
            1 => Mode::Open,
            2 => Mode::Closed,
            _ => Mode::Automatic,
        }
    }

    /// The state that outcomes have led to, which a mode may overrule.
    pub(crate) fn state(self) -> State {
        match (self.0 >> STATE_SHIFT) & 3 {
            1 => State::HalfOpen,
            2 => State::Open,
            _ => State::Closed,
        }
    }

    /// In milliseconds since the breaker was made. Open: the next probe is due. Half-open: the probe is given up. Closed: what
    /// other processes say is believed again.
    pub(crate) fn time(self) -> u64 {
        self.0 & TIME_MASK
    }

    fn next(self, mode: Mode, state: State, time: u64) -> Self {
        let mode = match mode {
            Mode::Automatic => 0,
            Mode::Open => 1,
            Mode::Closed => 2,
        };
        let state = match state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        };
        let number = ((self.0 >> NUMBER_SHIFT) + 1) & NUMBER_MASK;
        Self(
            (mode << MODE_SHIFT)
                | (state << STATE_SHIFT)
                | (number << NUMBER_SHIFT)
                | time.min(TIME_MASK),
        )
    }
}

/// The word of a breaker.
#[derive(Default)]
pub(crate) struct AtomicWord(AtomicU64);

impl AtomicWord {
    pub(crate) fn load(&self) -> Word {
        Word(self.0.load(Acquire))
    }

    /// Changes `from` to another state, or says what it has become meanwhile.
    pub(crate) fn change(
        &self,
        from: Word,
        mode: Mode,
        state: State,
        time: u64,
    ) -> Result<Word, Word> {
        let to = from.next(mode, state, time);
        match self.0.compare_exchange(from.0, to.0, AcqRel, Acquire) {
            Ok(_) => Ok(to),
            Err(now) => Err(Word(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_its_parts_and_each_change_makes_another() {
        let word = AtomicWord::default();
        let first = word.load();
        assert_eq!(
            (first.mode(), first.state(), first.time()),
            (Mode::Automatic, State::Closed, 0)
        );
        let mut seen = vec![first];
        for mode in [Mode::Automatic, Mode::Open, Mode::Closed] {
            for state in [State::Closed, State::HalfOpen, State::Open] {
                for time in [0, 7, TIME_MASK, u64::MAX] {
                    let from = word.load();
                    let to = word.change(from, mode, state, time).unwrap();
                    assert_eq!(
                        (to.mode(), to.state(), to.time()),
                        (mode, state, time.min(TIME_MASK))
                    );
                    assert!(!seen.contains(&to));
                    assert_eq!(word.change(from, mode, state, time), Err(to));
                    seen.push(to);
                }
            }
        }
    }
}
