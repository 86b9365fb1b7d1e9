//! The store through its public methods, on real files. Faults that need a hand inside are tested
//! beside the code.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

/// Runs each test on each back end.
macro_rules! on_each {
    ($($tests:tt)*) => { stack::on_each!([embedded, mongodb], [$($tests)*]); };
}

mod accounts;
mod attachments;
mod audit;
mod database;
mod durability;
mod history;
mod instances;
mod log;
mod members;
mod objects;
mod rollups;
mod rooms;
mod search;
mod sessions;
mod stats;
mod tables;
mod unread;
mod uploads;

use std::path::Path;

use database::Database;
use protocol::{RoomId, RoomKind, RoomRole, Secret, Timestamp, UserId};
use storage::{
    Appended, Change, EventBody, MessageStore, NewEntry, NewRoom, NewUser, Sessions, StoreError,
    StoredEvent, StoredMessage,
};
use tempfile::TempDir;

/// A store for one test alone.
pub(crate) struct Fixture {
    pub(crate) store: MessageStore,
    location: Location,
}

/// Where it is.
enum Location {
    Directory(TempDir),
    Database(Database),
}

impl Fixture {
    /// In a directory.
    pub(crate) async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = MessageStore::open(directory.path()).await.unwrap();
        let location = Location::Directory(directory);
        Self { store, location }
    }

    /// In a database of the replica set, and under a prefix of the Redis Cluster.
    pub(crate) async fn mongodb() -> Self {
        let database = Database::take().await;
        let store = database.connect().await;
        let location = Location::Database(database);
        Self { store, location }
    }

    /// The same store, closed and opened again.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        let store = match &self.location {
            Location::Directory(directory) => MessageStore::open(directory.path()).await.unwrap(),
            Location::Database(database) => database.connect().await,
        };
        Self { store, ..self }
    }

    /// Another store on the same database.
    pub(crate) async fn another_instance(&self) -> MessageStore {
        match &self.location {
            Location::Directory(_) => panic!("a directory has one"),
            Location::Database(database) => database.connect().await,
        }
    }

    /// Of an embedded store.
    pub(crate) fn directory(&self) -> &Path {
        match &self.location {
            Location::Directory(directory) => directory.path(),
            Location::Database(_) => panic!("not a directory"),
        }
    }

    pub(crate) fn sessions(&self) -> Sessions {
        Sessions::embedded(&self.store).unwrap()
    }

    /// A user whose username is `name` and whose display name begins with a capital.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        self.store
            .create_user(new_user(name), now())
            .await
            .unwrap()
            .id
    }

    /// A room of this kind whose owner is the first of its members.
    pub(crate) async fn room(&self, kind: RoomKind, members: &[&UserId]) -> RoomId {
        let room = NewRoom {
            kind,
            name: "Room".to_owned(),
            owner: members[0].clone(),
            members: members[1..].iter().map(|id| (*id).clone()).collect(),
        };
        self.store.create_room(room, now()).await.unwrap().room.id
    }

    pub(crate) async fn append(
        &self,
        room: &RoomId,
        actor: &UserId,
        change: Change,
    ) -> Result<Appended, StoreError> {
        let (done, durable) = tokio::sync::oneshot::channel();
        let entry = NewEntry {
            room_id: room.clone(),
            actor: actor.clone(),
            change,
        };
        self.store
            .append(entry, |result| done.send(result).unwrap());
        durable.await.unwrap()
    }

    pub(crate) async fn send(&self, room: &RoomId, actor: &UserId, body: &str) -> StoredMessage {
        message(self.append(room, actor, send(body)).await.unwrap())
    }

    pub(crate) async fn edit(
        &self,
        room: &RoomId,
        actor: &UserId,
        of: u64,
        body: &str,
    ) -> Result<Appended, StoreError> {
        self.append(
            room,
            actor,
            Change::Edit {
                of,
                body: body.to_owned(),
            },
        )
        .await
    }

    pub(crate) async fn delete(
        &self,
        room: &RoomId,
        actor: &UserId,
        of: u64,
    ) -> Result<Appended, StoreError> {
        self.append(
            room,
            actor,
            Change::Delete {
                of,
                moderator: false,
            },
        )
        .await
    }

    pub(crate) async fn react(
        &self,
        room: &RoomId,
        actor: &UserId,
        of: u64,
        emoji: &str,
        on: bool,
    ) -> Result<Appended, StoreError> {
        self.append(
            room,
            actor,
            Change::React {
                of,
                emoji: emoji.to_owned(),
                on,
            },
        )
        .await
    }

    /// The whole log of a room.
    pub(crate) async fn log(&self, room: &RoomId) -> Vec<StoredEvent> {
        let page = self
            .store
            .events(room, 0, u64::MAX, 100_000, None)
            .await
            .unwrap();
        assert!(!page.has_more);
        page.items
    }

    pub(crate) async fn role(&self, room: &RoomId, user: &UserId) -> Option<RoomRole> {
        self.store.membership(room, user).await.unwrap().role
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// So many milliseconds after some moment.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000 + ms)
}

pub(crate) fn new_user(name: &str) -> NewUser {
    let mut letters = name.chars();
    let first = letters.next().unwrap().to_uppercase();
    NewUser {
        username: name.to_owned(),
        display_name: first.chain(letters).collect(),
        email: None,
        password_hash: Secret::from("hash"),
    }
}

pub(crate) fn send(body: &str) -> Change {
    Change::Send {
        client_id: None,
        body: body.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
    }
}

pub(crate) fn send_as(client_id: &str, body: &str) -> Change {
    Change::Send {
        client_id: Some(client_id.to_owned()),
        body: body.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
    }
}

/// The message that an append sent or edited.
pub(crate) fn message(appended: Appended) -> StoredMessage {
    match appended.event.body {
        EventBody::Sent(message) | EventBody::Edited { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

/// Emoji and counts of a message, those put by the viewer with a star.
pub(crate) fn reactions(message: &StoredMessage) -> String {
    let shown = message.reactions.iter().map(|reaction| {
        let mine = if reaction.mine { "*" } else { "" };
        format!("{}{}{mine}", reaction.emoji, reaction.count)
    });
    shown.collect::<Vec<_>>().join(" ")
}

macro_rules! assert_error {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("{other:?}"),
        }
    };
}
pub(crate) use assert_error;
