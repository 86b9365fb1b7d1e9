//! Brokers that break.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod cuts;
#[path = "../contract/fixture.rs"]
#[expect(dead_code, reason = "the contract's tests use more of it")]
mod fixture;
mod outages;

use fixture::{Fixture, Note, Notes, PROMPT, eventually};
