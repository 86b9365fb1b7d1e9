//! The client and the subscriber against real servers, which are killed, paused, moved and flooded meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod cluster;
mod ledger;
mod sentinel;
mod servers;
mod single;
mod tls;
