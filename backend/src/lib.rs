//! The Tertulia server. `main.rs` is thin: [`server::start`] is the one entrance, for it and for every test.
//!
//! A message's way: `socket/` (event table in `socket/mod.rs`) → `chat/` (the rules) → `storage` (the durable log) →
//! `chat/room_feeds.rs` (release in order) → the gateway's topics. `http/` leads to the same rules.

pub mod access_tokens;
pub mod accounts;
pub mod actor;
pub mod admin;
mod api_key;
pub mod app;
mod burst;
pub mod bus;
pub mod chat;
mod completion;
pub mod config;
pub mod emitter;
pub mod error;
mod fair_queue;
pub mod fleet;
pub mod health;
pub mod housekeeping;
pub mod http;
pub mod instances;
pub mod limits;
pub mod logging;
mod network;
pub mod operations;
pub mod page;
pub mod passwords;
pub mod publish;
pub mod refresh_tokens;
pub mod revocations;
pub mod server;
pub mod sessions_seen;
pub mod signing_secret;
pub mod socket;
pub mod startup;
pub mod user_sockets;
