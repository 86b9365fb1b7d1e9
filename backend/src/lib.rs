//! The Tertulia server. `main.rs` is thin: [`server::start`] is the one entrance, for it and for every test.
//!
//! A message's way: `socket/` (event table in `socket/mod.rs`) → `chat/` (the rules) → `storage` (the durable log) →
//! `chat/room_feeds.rs` (release in order) → the gateway's topics. `http/` leads to the same rules.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod cache;
pub mod chat;
pub mod circuits;
mod completion;
pub mod config;
pub mod delivery;
pub mod error;
pub mod fleet;
pub mod health;
mod html;
pub mod http;
mod http_client;
pub mod jobs;
pub mod limits;
mod log_throttle;
pub mod logging;
pub mod mail;
pub mod media;
pub mod media_urls;
pub mod metrics;
pub mod notifications;
pub mod operations;
pub mod page;
mod private_file;
pub mod process;
pub mod publish;
pub mod push;
pub mod rollups;
pub mod server;
pub mod socket;
pub mod topics;
pub mod wire;
pub mod worker;
