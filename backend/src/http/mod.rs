//! The HTTP side: `router.rs` holds the whole route table, a file per resource turns requests into calls of the rules
//! in `chat/` and `accounts/`, and their answers into responses.

mod admin;
mod audit;
mod auth;
mod blocks;
mod devices;
pub mod health;
mod mail;
mod me;
mod media;
mod members;
mod messages;
mod notifications;
mod pages;
mod peer;
mod pipeline;
mod publish;
mod rate_limit;
mod request;
mod request_id;
mod rooms;
pub mod router;
mod security_headers;
mod sessions;
mod uploads;
mod users;
