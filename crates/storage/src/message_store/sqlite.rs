//! The embedded back end: one SQLite file in the data directory. The methods are in the file of their noun; each is
//! one transaction or one snapshot. Here: opening, closing, and what several nouns share.

mod api_keys;
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
    API_KEYS_MAX, ApiKeyHash, Appended, Change, Credentials, Departure, EventBody, ExternalSignIn,
    ExternalSignedIn, ExternalUser, Head, MadeRoom, Membership, NewEntry, NewRoom, NewUser, Page,
    ProfileChange, Removal, RoomViewer, StoreStats, StoredApiKey, StoredAttachment, StoredEvent,
    StoredMember, StoredMessage, StoredRoom, StoredUser, changed_meanwhile, too_many_api_keys,
};
use crate::sqlite::{Database, Migrations, Step};
use crate::{OpenError, StoreError};

const MIGRATIONS: Migrations = Migrations(&[
    Step::Sql(include_str!("sqlite/schema.sql")),
    Step::Run(indexes::renew),
    Step::Sql(include_str!("sqlite/sign_in_versions.sql")),
    Step::Sql(include_str!("sqlite/external_users.sql")),
    Step::Sql(include_str!("sqlite/api_keys.sql")),
    Step::Sql(include_str!("sqlite/attachments.sql")),
]);

// What `renew` makes of names and messages is of this version.
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
        let database = Database::start(directory, "messages", MIGRATIONS, purge::step).await?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }

    pub(super) fn stats(&self) -> StoreStats {
        self.database.stats()
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.database.check()?;
        self.database.write(|_| Ok(())).await
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use protocol::Timestamp;

    /// A file as the first version made it, with two accounts: two addresses that were kept from others.
    fn first_version(directory: &std::path::Path) {
        let file = Connection::open(directory.join("messages.db")).unwrap();
        file.execute_batch(include_str!("sqlite/schema.sql"))
            .unwrap();
        file.execute_batch(
            "INSERT INTO users (id, username, username_key, display_name, display_name_key, email,
                 email_key, role, guest, password_hash, created_at)
             VALUES ('u1', 'Ann', 'ann', 'Ann', 'ann', 'Ann@example.org', 'ann@example.org', 'user', 0, 'hash', 1),
                    ('u2', 'Bob', 'bob', 'Bob', 'bob', 'bob@example.org', 'bob@example.org', 'user', 0, 'hash', 1);
             INSERT INTO sessions (id, user, device, address, created_at, last_seen_at, expires_at, refresh_hash)
             VALUES ('s1', 1, 'a phone', '192.0.2.1', 1, 1, 1000, zeroblob(32));
             PRAGMA user_version = 1;",
        )
        .unwrap();
    }

    #[tokio::test]
    async fn a_file_of_the_first_version_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        first_version(directory.path());
        let store = SqliteStore::open(directory.path().to_owned())
            .await
            .unwrap();
        let ann = store.credentials("ann").await.unwrap().unwrap().user;
        assert_eq!(ann.email.as_deref(), Some("Ann@example.org"));
        assert_eq!(ann.sign_in_version, 0);
        // The address is nobody's own any more.
        let bob = "u2".parse().unwrap();
        let change = ProfileChange {
            email: Some(Some("ann@example.org".to_owned())),
            ..ProfileChange::default()
        };
        store.update_user(&bob, change).await.unwrap();
        // Who was signed in still is, until the password changes.
        let wanted = crate::SessionRef {
            id: "s1".parse().unwrap(),
            user_id: ann.id.clone(),
            sign_in_version: 0,
        };
        let good = async || {
            let wanted = vec![wanted.clone()];
            let now = Timestamp::from_unix_ms(10);
            store.good_sessions(wanted, now).await.unwrap().len()
        };
        assert_eq!(good().await, 1);
        let hash = protocol::Secret::from("other");
        assert_eq!(store.set_password(&ann.id, 0, hash).await.unwrap(), 1);
        assert_eq!(good().await, 0);
        store.close().await;
    }
}
