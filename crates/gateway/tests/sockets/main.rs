//! The gateway over real sockets, by clients that don't behave.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where it stands"
)]

mod attachments;
mod client;
mod close;
mod drain;
mod flood;
mod http_connections;
mod lag;
mod polling;
mod requests;
mod server;
