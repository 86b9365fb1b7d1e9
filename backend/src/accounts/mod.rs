//! The rules of accounts: coming in, staying in, and going. No HTTP in here; `http/` leads to these functions.

pub mod live_sessions;
pub mod profile;
pub mod sessions;
pub mod sign_in;
