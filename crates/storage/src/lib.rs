//! The durable state of Tertulia. [`MessageStore`] keeps accounts, sessions, rooms and the rooms'
//! logs; in the embedded default that is one SQLite file in the data directory.
//!
//! What must stay true:
//! - what was answered with success is on disk, and what was not is never visible in part;
//! - a room's log has no gaps, and its completions run in the order of `seq`;
//! - nothing of the database shows in a signature: no connection, row or error type of it.

mod error;
mod message_store;
mod sqlite;

pub use error::{Cause, OpenError, StoreError};
pub use message_store::*;
