//! A database for one test, with users, rooms and any number of stores.

use mongodb::Client;
use mongodb::bson::{Document, doc};
use protocol::{RoomId, RoomKind, Secret, Timestamp, UserId};
use redis_client::{Options, RedisClient, cmd, partition_of, tag};
use stack::Stack;
use storage::{
    Appended, Change, MessageStore, MongoConfig, NewEntry, NewRoom, NewUser, StoreError,
    StoredEvent,
};

pub(crate) struct Fixture {
    pub(crate) name: String,
    mongodb: String,
    redis: String,
    /// Whether the database goes with this.
    owned: bool,
}

impl Fixture {
    pub(crate) fn new(stack: &Stack) -> Self {
        let name = format!("test-{}", uuid::Uuid::now_v7());
        Self {
            mongodb: stack.mongodb(&name),
            redis: stack.get("REDIS_URL"),
            name,
            owned: true,
        }
    }

    /// As another process was told of it.
    pub(crate) fn known(name: &str, mongodb: &str, redis: &str) -> Self {
        Self {
            name: name.to_owned(),
            mongodb: mongodb.to_owned(),
            redis: redis.to_owned(),
            owned: false,
        }
    }

    pub(crate) fn addresses(&self) -> [&str; 3] {
        [&self.name, &self.mongodb, &self.redis]
    }

    pub(crate) async fn store(&self) -> MessageStore {
        self.store_with(self.redis_client()).await
    }

    /// One that finds no Redis.
    pub(crate) async fn store_without_redis(&self) -> MessageStore {
        let nowhere = "redis://127.0.0.1:1".parse().unwrap();
        self.store_with(RedisClient::new(nowhere, Options::new("test")))
            .await
    }

    async fn store_with(&self, redis: RedisClient) -> MessageStore {
        let config = MongoConfig {
            uri: self.mongodb.as_str().into(),
            redis,
            key_prefix: self.name.clone(),
        };
        MessageStore::connect(config).await.unwrap()
    }

    pub(crate) fn redis_client(&self) -> RedisClient {
        RedisClient::new(self.redis.parse().unwrap(), Options::new("test"))
    }

    /// The counter of a room's log.
    pub(crate) async fn counter(&self, store: &MessageStore, room: &RoomId) -> String {
        let epoch = store.head(room).await.unwrap().epoch;
        let tag = tag(partition_of(room.as_str()));
        format!("{{{tag}}}{}seq:{room}:{}", self.name, epoch.as_str())
    }

    /// Reserves `seq`s that nobody will write, as a writer does that dies. Returns the last of them.
    pub(crate) async fn abandon_seqs(
        &self,
        store: &MessageStore,
        room: &RoomId,
        count: u64,
    ) -> u64 {
        let mut take = cmd("INCRBY");
        take.arg(self.counter(store, room).await).arg(count);
        self.redis_client().run(take).await.unwrap()
    }

    pub(crate) async fn set_counter(&self, store: &MessageStore, room: &RoomId, last: u64) {
        let mut set = cmd("SET");
        set.arg(self.counter(store, room).await).arg(last);
        self.redis_client().run(set).await.unwrap()
    }
}

impl Fixture {
    /// As a backup from before they were written.
    pub(crate) async fn lose_entries_behind(&self, room: &RoomId, seq: i64) {
        let client = Client::with_uri_str(&self.mongodb).await.unwrap();
        let log = client
            .database(&self.name)
            .collection::<Document>("room_log");
        let behind = doc! { "roomId": room.as_str(), "seq": { "$gt": seq } };
        log.delete_many(behind).await.unwrap();
        client.shutdown().await;
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.owned {
            return;
        }
        let (uri, name) = (self.mongodb.clone(), self.name.clone());
        // The test's own runtime can't be waited for in here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = Client::with_uri_str(uri).await.unwrap();
                client.database(&name).drop().await.unwrap();
                client.shutdown().await;
            });
        });
        dropping.join().unwrap();
    }
}

pub(crate) async fn users(store: &MessageStore, count: usize) -> Vec<UserId> {
    let mut users = Vec::new();
    for number in 0..count {
        let user = NewUser {
            username: format!("{number}-{}", uuid::Uuid::now_v7()),
            display_name: format!("User {number}"),
            email: None,
            password_hash: Secret::from("hash"),
        };
        users.push(store.create_user(user, Timestamp::now()).await.unwrap().id);
    }
    users
}

pub(crate) async fn room(store: &MessageStore, members: &[UserId]) -> RoomId {
    let room = NewRoom {
        kind: RoomKind::Private,
        name: "Room".to_owned(),
        owner: members[0].clone(),
        members: members[1..].to_vec(),
    };
    let made = store.create_room(room, Timestamp::now()).await.unwrap();
    made.room.id
}

pub(crate) async fn append(
    store: &MessageStore,
    room: &RoomId,
    actor: &UserId,
    change: Change,
) -> Result<Appended, StoreError> {
    start(store, room, actor, change).await.unwrap()
}

/// Appends without waiting.
pub(crate) fn start(
    store: &MessageStore,
    room: &RoomId,
    actor: &UserId,
    change: Change,
) -> tokio::sync::oneshot::Receiver<Result<Appended, StoreError>> {
    let (done, durable) = tokio::sync::oneshot::channel();
    let entry = NewEntry {
        room_id: room.clone(),
        actor: actor.clone(),
        change,
    };
    store.append(entry, |result| drop(done.send(result)));
    durable
}

pub(crate) fn send(client_id: &str, body: &str) -> Change {
    Change::Send {
        client_id: Some(client_id.to_owned()),
        body: body.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
    }
}

/// The whole log of a room as a store shows it, which has no gap.
pub(crate) async fn log(store: &MessageStore, room: &RoomId) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let after = events.len() as u64;
        let page = store
            .events(room, after, u64::MAX, 500, None)
            .await
            .unwrap();
        for event in page.items {
            assert_eq!(event.seq, events.len() as u64 + 1);
            events.push(event);
        }
        if !page.has_more {
            return events;
        }
    }
}
