//! What browsers load: the web client, and the descriptions of the API.

mod asset;
pub mod documents;
mod events;
mod page;
pub mod web_client;
