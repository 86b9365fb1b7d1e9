//! The embedded back end: one SQLite file in the data directory. The methods are in the file of their noun; each is
//! one transaction or one snapshot. Here: opening, closing, and what several nouns share.

mod append;
mod blocks;
mod columns;
mod entry;
#[cfg(test)]
mod faults;
mod history;
mod indexes;
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

use super::{
    Appended, Change, Credentials, Head, Membership, NewEntry, NewRoom, NewUser, Occurrence, Page,
    ProfileChange, Removal, RoomViewer, StoredEvent, StoredMember, StoredMessage, StoredRoom,
    StoredUser, UNREAD_MAX,
};
use crate::error::cause;
use crate::sqlite::{Database, Migrations, Step};
use crate::{OpenError, StoreError};

const MIGRATIONS: Migrations = Migrations(&[
    Step::Sql(include_str!("sqlite/schema.sql")),
    Step::Run(indexes::renew),
]);

// What the last step makes of names and messages is of this version.
const _: () = assert!(
    text::VERSION == 2,
    "the indexes of the embedded store need another step"
);

/// The store in one file. Cloning shares it.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    database: Arc<Database>,
}

impl SqliteStore {
    pub(super) async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        let open = move || Database::open(&directory, "messages", MIGRATIONS, purge::step);
        let database = match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened?,
            Err(error) => return Err(OpenError::Database(cause(error))),
        };
        Ok(Self {
            database: Arc::new(database),
        })
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.database.write(|_| Ok(())).await
    }
}
