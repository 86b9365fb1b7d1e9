//! Accounts, sessions, rooms and their logs. The methods are in the file of their noun; each is
//! one transaction or one snapshot. Here: opening, closing, and what several nouns share.

mod append;
mod blocks;
mod columns;
mod entry;
#[cfg(test)]
mod faults;
mod history;
mod log;
mod members;
mod message;
mod name_index;
mod purge;
mod rooms;
mod search;
mod sessions;
mod unread;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::cause;
use crate::sqlite::{Database, Migrations};
use crate::{OpenError, StoreError};

pub use append::{Appended, Change, NewEntry};
pub use log::{Head, Occurrence, StoredEvent};
pub use members::{Membership, Removal, StoredMember};
pub use message::StoredMessage;
pub use rooms::{NewRoom, RoomViewer, StoredRoom};
pub use sessions::{NewSession, Refresh, Refreshed, SessionSeen, StoredSession, TokenHash};
pub use unread::UNREAD_MAX;
pub use users::{Credentials, DeletedUser, NewUser, ProfileChange, StoredUser};

const MIGRATIONS: Migrations = Migrations(&[include_str!("message_store/schema.sql")]);

/// Accounts, sessions, rooms and their logs, durable. Cloning shares it.
#[derive(Clone)]
pub struct MessageStore {
    database: Arc<Database>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part, in the order of the list.
    pub items: Vec<T>,
    /// Whether there are more behind it, in the direction of reading.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// From one item more than fits, if there is one.
    fn cut(mut items: Vec<T>, limit: u32) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more }
    }
}

impl MessageStore {
    /// Opens the store in a directory, which is made if it isn't there, and keeps every other
    /// process out of it until [`MessageStore::close`] or the end of this one.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let directory = directory.into();
        let open = move || Database::open(&directory, "messages", MIGRATIONS, purge::step);
        let database = match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened?,
            Err(error) => return Err(OpenError::Database(cause(error))),
        };
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// Refuses new requests, finishes those that were accepted, and gives the directory up.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Whether writes are possible: waits for its turn among them and begins a transaction, but
    /// doesn't touch the disk.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.write(|_| Ok(())).await
    }
}
