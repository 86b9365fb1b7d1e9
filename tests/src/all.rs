//! Tests from outside, against servers that really listen; one binary, so that they link once and run side by side.
//!
//! Nothing here sleeps for luck: whatever takes its time is polled for, up to [`deadline::PATIENCE`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets what it doesn't expect has failed"
)]

mod client;
mod deadline;
mod fleet;
mod gateway;
mod nginx;
mod server;
