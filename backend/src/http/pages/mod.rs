//! What browsers load: the web client, and the descriptions of the API.

mod asset;
pub mod documents;
pub mod page;
mod reference;
pub mod web_client;
