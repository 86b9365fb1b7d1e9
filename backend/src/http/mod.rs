//! The HTTP side: `router.rs` holds the whole route table, a file per resource turns requests into calls of the rules
//! in `chat/` and `accounts/`, and their answers into responses.

mod asset;
mod auth;
mod blocks;
mod documents;
pub mod health;
mod me;
mod members;
mod messages;
mod page;
mod publish;
mod reference;
mod request;
mod request_log;
mod rooms;
pub mod router;
mod security_headers;
mod sessions;
mod users;
mod web_client;
