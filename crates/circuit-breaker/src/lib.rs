//! A circuit breaker: calls to a dependency that fails too often are refused for a while without being made, so that those who
//! call don't wait for it and it isn't loaded while it recovers. Then one call at a time tries it again.
//!
//! ```
//! use circuit_breaker::{Breaker, CallError, Settings};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let breaker = Breaker::new(Settings::new(50, Duration::from_secs(60)));
//! let fetch = async { Err::<(), _>("no answer") };
//! // Not every error is the dependency's fault: only those that are count as failures.
//! let answer = breaker.call(fetch, |error| *error == "no answer").await;
//! assert!(matches!(answer, Err(CallError::Failed("no answer"))));
//! # }
//! ```
//!
//! What must stay true:
//! - A decision is local and made of atomic operations: no lock, no I/O.
//! - While a circuit is half-open, one call is under way (the probe), whatever the number of threads. One that is dropped before
//!   its outcome is known, as of a cancelled request, counts as neither, and the next call is the probe. One that takes longer than
//!   `recovery_timeout` is given up for the next one; if it succeeds after all while the circuit is half-open, that closes it.
//! - But for that, the outcome of a call counts only in the period in which the call was admitted: a call that was begun before the
//!   circuit opened can neither close nor open it afterwards.
//! - What other processes say of the dependency ([`Breaker::hear_of_opening`]) counts less than what this one has seen itself, so
//!   that one process with a broken network can't keep the others from a dependency that works for them.
//!
//! # Why not a library
//!
//! We read the two of crates.io that are in use. In `failsafe` 1.3 and in `recloser` 1.4 *every* call is let through while the
//! circuit is half-open, which is what a dependency that has just started can't bear. `failsafe` takes a mutex for every decision;
//! `recloser` judges a fixed number of calls, however old they are. In neither can a state be set from outside, which a state that is shared
//! between processes and one that an operator forces need, and neither has a permit that may be dropped without an outcome.

#![forbid(unsafe_code)]

mod breaker;
mod clock;
mod permit;
mod settings;
mod state;
mod transition;
mod window;

pub use breaker::{Breaker, Counts, Snapshot};
pub use permit::{CallError, Open, Permit};
pub use settings::{MalformedSettings, Settings};
pub use state::{Mode, State};
pub use transition::{Cause, Transition};
