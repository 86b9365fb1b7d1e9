//! What holds for jobs on every back end.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

/// Runs each test on each back end.
macro_rules! on_each {
    ($($tests:tt)*) => { stack::on_each!([embedded, rabbitmq, postgres], [$($tests)*]); };
}

mod dead_letters;
mod ends;
#[expect(dead_code, reason = "tests of faults use more of it")]
mod fixture;
mod runs;

use fixture::{Fixture, Note, Notes, PROMPT, eventually};
