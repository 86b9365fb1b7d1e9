//! Accounts, rooms and their logs, in one of two back ends: SQLite in the embedded default, MongoDB for a fleet. The
//! contract of each method is documented here, in the file of its noun, and holds for both: the same tests run on both.

mod api_keys;
mod append;
mod attachment;
mod blocks;
mod change_rules;
mod follow;
mod history;
mod ids;
mod log;
mod members;
mod message;
mod mongodb;
mod operations;
mod owner_rules;
mod rooms;
mod search;
mod sqlite;
mod stats;
mod unread;
mod users;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::limits::PAGE_BYTES_MAX;

use api_keys::{API_KEYS_MAX, too_many_api_keys};
pub use api_keys::{ApiKeyHash, StoredApiKey};
pub use append::{Appended, Change, NewEntry};
pub use attachment::{AttachmentState, StoredAttachment, StoredMedia, StoredVariant};
pub use follow::{EXCERPT_MAX, FollowedBody, FollowedEntry, FollowedMessage};
pub use log::{EventBody, Head, StoredEvent};
pub use members::{Departure, Membership, Removal, SMALL_ROOM, StoredMember};
pub use message::StoredMessage;
pub use mongodb::{LogFollower, MongoConfig};
pub use operations::Operation;
pub use rooms::{MadeRoom, NewRoom, RoomViewer, StoredRoom};
pub use stats::{EmbeddedStats, FleetStats, StoreStats};
pub use unread::UNREAD_MAX;
use users::changed_meanwhile;
pub use users::{
    Credentials, ExternalSignIn, ExternalSignedIn, ExternalUser, NewUser, ProfileChange, StoredUser,
};

use crate::{OpenError, StoreError};
use mongodb::MongoStore;
use operations::Operations;
pub(crate) use sqlite::SqliteStore;

/// Accounts, rooms and their logs, durable. Cloning shares it.
#[derive(Clone)]
pub struct MessageStore {
    pub(crate) backend: Backend,
    operations: Arc<Operations>,
}

#[derive(Clone)]
pub(crate) enum Backend {
    Sqlite(SqliteStore),
    Mongodb(MongoStore),
}

/// Calls the method of the embedded store, or that of the same name of a part of a fleet's, as an operation of this kind.
macro_rules! on_backend {
    ($store:ident, $operation:ident: $part:ident.$method:ident($($argument:expr),*)) => {{
        let work = async {
            match &$store.backend {
                super::Backend::Sqlite(store) => store.$method($($argument),*).await,
                super::Backend::Mongodb(store) => store.parts.$part.$method($($argument),*).await,
            }
        };
        $store
            .operations
            .time(super::Operation::$operation, work)
            .await
    }};
}
use on_backend;

/// The remaining space of a page that is being read. The first item always fits.
struct Space {
    items: u32,
    bytes: usize,
    is_empty: bool,
}

impl Space {
    fn new(items: u32) -> Self {
        Self {
            items,
            bytes: PAGE_BYTES_MAX,
            is_empty: true,
        }
    }

    /// True if another item fits, which then takes its part.
    fn takes(&mut self, bytes: usize) -> bool {
        let is_first = std::mem::replace(&mut self.is_empty, false);
        if self.items == 0 || (bytes > self.bytes && !is_first) {
            return false;
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page, in the order of the list.
    pub items: Vec<T>,
    /// True if there are more behind it, in the direction of reading.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Reads items as long as they fit: `limit` of them, or as many bytes as a page may have.
    fn fill<E>(
        items: impl IntoIterator<Item = Result<T, E>>,
        limit: u32,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<Self, E> {
        let mut page = Self {
            items: Vec::new(),
            has_more: false,
        };
        let mut space = Space::new(limit);
        for item in items {
            let item = item?;
            if !space.takes(bytes(&item)) {
                page.has_more = true;
                break;
            }
            page.items.push(item);
        }
        Ok(page)
    }

    /// As [`Page::fill`], of items that were read already.
    fn of(items: Vec<T>, limit: u32, bytes: impl Fn(&T) -> usize) -> Self {
        let items = items.into_iter().map(Ok::<T, Infallible>);
        let Ok(page) = Self::fill(items, limit, bytes);
        page
    }

    /// Of up to `limit + 1` items.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more }
    }
}

impl MessageStore {
    fn new(backend: Backend) -> Self {
        Self {
            backend,
            operations: Arc::default(),
        }
    }

    /// Opens the embedded store in a directory, which is created if it is missing, and locks it against other
    /// processes until [`MessageStore::close`] or the end of this one.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let store = SqliteStore::open(directory.into()).await?;
        Ok(Self::new(Backend::Sqlite(store)))
    }

    /// A store on a MongoDB replica set or sharded cluster. It connects at its first use.
    pub async fn connect(config: MongoConfig) -> Result<Self, OpenError> {
        let store = MongoStore::connect(config).await?;
        Ok(Self::new(Backend::Mongodb(store)))
    }

    /// As [`MessageStore::connect`], and calls `untargeted` with each operation that a router of a sharded cluster would
    /// have to send to all shards. For tests: watching costs time.
    #[doc(hidden)]
    pub async fn connect_watched(
        config: MongoConfig,
        untargeted: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let store = MongoStore::connect_watched(config, untargeted).await?;
        Ok(Self::new(Backend::Mongodb(store)))
    }

    /// Creates missing collections and indexes, and shards them on a sharded cluster, for which the user needs the
    /// right. All but the sharding is also done at the first use, by any number of instances at once; the embedded store
    /// does it when it is opened.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Mongodb(store) => store.migrate().await,
        }
    }

    /// Refuses new requests, finishes those that were accepted, and releases all resources.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(store) => store.close().await,
            Backend::Mongodb(store) => store.close().await,
        }
    }

    /// Fails unless writes are possible. The embedded store waits for its turn in the write queue and begins a
    /// transaction, but doesn't touch the disk; it fails as `Corrupt` once damage was found.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(store) => store.ping().await,
            Backend::Mongodb(store) => store.ping().await,
        }
    }
}
