//! Clients of the tests' own, for what no official client would ever send.

pub mod http;
pub mod official;
pub mod polling;
pub mod websocket;
