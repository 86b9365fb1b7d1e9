//! Several stores on one replica set, and what may happen to them: counters that are lost, writers that die, servers
//! that are killed while everybody writes. Afterwards every acked event is in the log, once, in order, without a gap.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod counters;
mod crowd;
mod fixture;
mod gaps;
mod outages;
mod patience;
