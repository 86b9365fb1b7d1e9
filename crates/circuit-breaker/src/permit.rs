//! A call that was admitted, and one that wasn't.

use std::{fmt, time::Duration};

use crate::{breaker::Breaker, state::Word};

/// A call was refused because the circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open")]
pub struct Open {
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// Why a call has no result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// It wasn't made.
    #[error(transparent)]
    Open(#[from] Open),
    /// It was made, and failed.
    #[error("{0}")]
    Failed(E),
}

/// A call that was admitted. Dropped without an outcome, it counts as neither success nor failure.
#[must_use = "a permit without an outcome counts for nothing"]
pub struct Permit<'a> {
    pub(crate) breaker: &'a Breaker,
    /// The period in which it was admitted.
    pub(crate) word: Word,
    /// When, if slow calls count as failures.
    pub(crate) began: u64,
    pub(crate) ended: bool,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Dropped,
}

impl Permit<'_> {
    /// The dependency did what it is there for, even if the answer was no.
    pub fn succeeded(self) {
        self.end(Outcome::Success);
    }

    /// The dependency failed.
    pub fn failed(self) {
        self.end(Outcome::Failure);
    }

    fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.breaker.end(self.word, self.began, outcome);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.breaker.end(self.word, self.began, Outcome::Dropped);
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("state", &self.word.state())
            .finish_non_exhaustive()
    }
}
