//! The contract as a client meets it: literal JSON in both directions, every bound, and the
//! generated documents.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod documents;
mod publish;
mod reading;
mod requests;
mod shapes;
