//! What needs a hand inside: crashes between two steps, races, and what nobody sees from outside.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use parking_lot::Mutex;
use protocol::{RoomId, RoomKind, RoomRole, Secret, Timestamp, UserId};
use redis_client::Options;

use super::documents::ClaimDocument;
use super::*;
use crate::{Change, NewEntry, NewRoom, NewUser};

/// A query that was sent.
#[derive(Debug)]
struct Sent {
    collection: String,
    /// How long the server may take, in milliseconds.
    budget: Option<i64>,
}

/// A store on a database of its own.
struct Fixture {
    store: MongoStore,
    uri: String,
    /// Commands sent so far.
    commands: Arc<AtomicUsize>,
    /// Queries sent so far.
    queries: Arc<Mutex<Vec<Sent>>>,
}

fn config(uri: &str) -> MongoConfig {
    let redis = stack::address("REDIS_URL").parse().unwrap();
    MongoConfig {
        uri: Secret::from(uri),
        redis: RedisClient::new(redis, Options::new("test")),
        key_prefix: "test".to_owned(),
    }
}

impl Fixture {
    async fn new() -> Self {
        let uri = stack::address("MONGODB_URI");
        let (servers, rest) = uri.split_once("/?").unwrap();
        let uri = format!("{servers}/test-{}?{rest}", uuid::Uuid::now_v7());
        let commands = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commands);
        let mut options = options(&uri).await.unwrap();
        let queries = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&queries);
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            counted.fetch_add(1, Ordering::Relaxed);
            if let CommandEvent::Started(started) = event
                && let Ok(collection) = started.command.get_str("find")
            {
                let budget = started.command.get("maxTimeMS").map(|budget| {
                    let whole = budget.as_i32().map(i64::from);
                    whole.or(budget.as_i64()).unwrap()
                });
                let collection = collection.to_owned();
                noted.lock().push(Sent { collection, budget });
            }
        }));
        let store = MongoStore::with(config(&uri), options).unwrap();
        Self {
            store,
            uri,
            commands,
            queries,
        }
    }

    async fn user(&self, name: &str) -> UserId {
        let user = self
            .store
            .parts
            .users
            .create_user(new_user(name), Timestamp::now());
        user.await.unwrap().id
    }

    async fn room(&self, members: &[&UserId]) -> RoomId {
        let room = NewRoom {
            kind: RoomKind::Public,
            name: "Room".to_owned(),
            owner: members[0].clone(),
            members: members[1..].iter().map(|id| (*id).clone()).collect(),
        };
        self.store
            .parts
            .rooms
            .create_room(room, Timestamp::now())
            .await
            .unwrap()
            .room
            .id
    }

    async fn append(&self, room: &RoomId, actor: &UserId, change: Change) {
        let (done, durable) = tokio::sync::oneshot::channel();
        let entry = NewEntry {
            room_id: room.clone(),
            actor: actor.clone(),
            change,
        };
        self.store
            .parts
            .writer
            .append(entry, |result| done.send(result).unwrap());
        durable.await.unwrap().unwrap();
    }

    async fn count(&self, collection: &str, filter: Document) -> u64 {
        let collection = self
            .store
            .parts
            .database
            .driver()
            .collection::<Document>(collection);
        collection.count_documents(filter).await.unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let uri = self.uri.clone();
        // The test's own runtime can't be waited for in here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = Client::with_uri_str(uri).await.unwrap();
                client.default_database().unwrap().drop().await.unwrap();
            });
        });
        if !std::thread::panicking() {
            dropped.join().unwrap();
        }
    }
}

fn message(body: &str) -> Change {
    Change::Send {
        client_id: None,
        body: body.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
    }
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        username: name.to_owned(),
        display_name: name.to_owned(),
        email: Some(format!("{name}@example.org")),
        password_hash: Secret::from("hash"),
    }
}

/// Drops a future once it was polled so often.
async fn cut_short<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn a_malformed_address_is_refused_without_its_password() {
    for (uri, reason) in [
        (
            "mongodb://u:sec/ret@host/?replicaSet=rs0",
            "user and password",
        ),
        ("mongodb://u:secret@host/?w=-1", ""),
        ("mongodb://u:secret@/db", ""),
        ("redis://u:secret@host", ""),
        ("u:secret@host", "expected mongodb://"),
        ("", ""),
    ] {
        let Err(error) = MongoStore::connect(config(uri)).await else {
            panic!("{uri}");
        };
        assert!(matches!(error, OpenError::Address(_)), "{uri}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(reason), "{uri}: {shown}");
        for secret in ["secret", "sec/ret", "ret@"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn without_a_server_the_store_opens_and_is_unavailable() {
    let uri = "mongodb://127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=100";
    let store = MongoStore::connect(config(uri)).await.unwrap();
    let nobody = UserId::trusted("nobody");
    for result in [
        store.ping().await,
        store.migrate().await,
        store.parts.users.user(&nobody).await.map(drop),
    ] {
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_make_what_is_missing() {
    let fixture = Fixture::new().await;
    let mut starting = Vec::new();
    for _ in 0..4 {
        let store = MongoStore::connect(config(&fixture.uri)).await.unwrap();
        starting.push(tokio::spawn(async move { store.ping().await }));
    }
    for started in starting {
        started.await.unwrap().unwrap();
    }
    let database = fixture.store.parts.database.driver();
    let made = database.list_collection_names().await.unwrap();
    for specification in &collections::ALL {
        let name = specification.name;
        assert!(made.iter().any(|it| it == name), "{name}");
        let collection = database.collection::<Document>(name);
        let indexes = collection.list_index_names().await.unwrap();
        let wanted = (specification.indexes)().len() + 1;
        assert_eq!(indexes.len(), wanted, "{name}");
    }
}

#[tokio::test]
async fn an_operation_without_its_shard_key_is_named_to_who_watches() {
    let fixture = Fixture::new().await;
    let (named, mut names) = tokio::sync::mpsc::unbounded_channel();
    let name = move |command| named.send(command).unwrap();
    let watched = MongoStore::connect_watched(config(&fixture.uri), name).await;
    let watched = watched.unwrap();
    let members = &watched.parts.database.collections().await.unwrap().members;
    for filter in [
        doc! { "roomId": "r", "userId": "u" },
        doc! { "userId": "u" },
    ] {
        members.find_one(filter).await.unwrap();
    }
    drop(watched);
    assert!(names.recv().await.unwrap().contains(r#""userId": "u""#));
    assert_eq!(names.recv().await, None, "the other is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_whose_caller_goes_away_is_done_all_the_same() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    store.ping().await.unwrap();
    for number in 0..10 {
        let name = format!("user{number}");
        let first = store
            .parts
            .users
            .create_user(new_user(&name), Timestamp::now());
        assert!(cut_short(first, 1).await.is_none());
        let second = store
            .parts
            .users
            .create_user(new_user(&name), Timestamp::now())
            .await;
        // One of the two has it, with all that belongs to it.
        assert!(
            matches!(second, Ok(_) | Err(StoreError::Conflict { .. })),
            "{second:?}"
        );
        let user = store
            .parts
            .users
            .credentials(&name)
            .await
            .unwrap()
            .unwrap()
            .user;
        if let Ok(second) = second {
            assert_eq!(second, user);
        }
        assert_eq!(
            store
                .parts
                .users
                .find_users(&name, None, 2)
                .await
                .unwrap()
                .items,
            [user]
        );
    }
    assert_eq!(fixture.count("users", doc! {}).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_whose_claimant_died_is_free_once_the_server_notices() {
    let fixture = Fixture::new().await;
    fixture.store.ping().await.unwrap();
    // A process that has claimed the name and is heard of no more.
    let other = MongoStore::connect(config(&fixture.uri)).await.unwrap();
    let collections = other.parts.database.collections().await.unwrap();
    let mut session = other.parts.database.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let claim: ClaimDocument =
        mongodb::bson::deserialize_from_document(doc! { "_id": "ann", "userId": "x" }).unwrap();
    let claims = &collections.usernames;
    claims
        .insert_one(claim)
        .session(&mut session)
        .await
        .unwrap();
    let id = session.id().clone();
    std::mem::forget(session);
    // Nobody knows whether it is taken.
    let ann = fixture
        .store
        .parts
        .users
        .create_user(new_user("ann"), Timestamp::now());
    let result = ann.await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    assert!(
        fixture
            .store
            .parts
            .users
            .credentials("ann")
            .await
            .unwrap()
            .is_none()
    );
    // What the server does after a minute.
    let admin = fixture.store.parts.database.client().database("admin");
    admin
        .run_command(doc! { "killSessions": [id] })
        .await
        .unwrap();
    fixture.user("ann").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_keeps_an_owner_whoever_leaves_at_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let [ann, bob, eve, dan] = ["ann", "bob", "eve", "dan"].map(|name| fixture.user(name));
    let (ann, bob, eve, dan) = tokio::join!(ann, bob, eve, dan);
    for _ in 0..5 {
        let room = fixture.room(&[&ann, &bob, &eve, &dan]).await;
        store
            .parts
            .membership_changes
            .set_member_role(&room, &bob, RoomRole::Owner)
            .await
            .unwrap();
        // Both owners, and one of those who may be next.
        let (one, two, three) = tokio::join!(
            store.parts.membership_changes.remove_member(&room, &ann),
            store.parts.membership_changes.remove_member(&room, &bob),
            store.parts.membership_changes.remove_member(&room, &eve),
        );
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let membership = store
            .parts
            .membership_lookup
            .membership(&room, &dan)
            .await
            .unwrap();
        assert_eq!(membership.role, Some(RoomRole::Owner));
        assert_eq!(
            store
                .parts
                .room_views
                .room(&room, None)
                .await
                .unwrap()
                .member_count,
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_blocks_a_thousand_at_most() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let names = ["ann", "bob", "eve"].map(|name| fixture.user(name));
    let users = futures_util::future::join_all(names).await;
    let [ann, bob, eve] = &users[..] else {
        unreachable!()
    };
    let blocked: Vec<String> = (0..999).map(|number| format!("user{number}")).collect();
    let users = blocked.iter().map(|id| {
        doc! {
            "_id": id, "username": id, "displayName": id, "role": "user", "guest": false,
            "createdAt": DateTime::now(),
        }
    });
    let collections = store.parts.database.collections().await.unwrap();
    let all_users = collections.users.clone_with_type::<Document>();
    all_users.insert_many(users).await.unwrap();
    let blocks = collections.blocks.clone_with_type::<Document>();
    let list = doc! { "_id": ann.as_str(), "blocked": &blocked };
    blocks.insert_one(list).await.unwrap();
    // One place for two.
    let now = Timestamp::now();
    let (one, other) = tokio::join!(
        store.parts.blocks.block(ann, bob, now),
        store.parts.blocks.block(ann, eve, now)
    );
    let full = |result: Result<bool, StoreError>| {
        matches!(
            result,
            Err(StoreError::Conflict {
                field: "userId",
                ..
            })
        )
    };
    assert!(one.is_ok() != other.is_ok());
    assert!(one.is_ok() || full(one));
    assert!(other.is_ok() || full(other));
    assert_eq!(
        store.parts.blocks.blocked_by(ann).await.unwrap().len(),
        1_000
    );
    // One who is blocked already is no new one.
    let first = UserId::trusted(blocked[0].as_str());
    assert!(!store.parts.blocks.block(ann, &first, now).await.unwrap());
    // Who is deleted leaves a place.
    store.parts.deletion.delete_user(&first, now).await.unwrap();
    for user in [bob, eve] {
        store.parts.blocks.block(ann, user, now).await.unwrap();
    }
    let list = store.parts.blocks.blocked_by(ann).await.unwrap();
    assert!(list.len() == 1_000 && list.contains(bob) && list.contains(eve));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_is_known_without_a_read() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (ann, bob) = tokio::join!(fixture.user("ann"), fixture.user("bob"));
    let room = store
        .parts
        .direct_rooms
        .direct_room(&ann, &bob, Timestamp::now())
        .await;
    let room = room.unwrap().room.id;
    let look = async || {
        let status = store
            .parts
            .membership_lookup
            .status(&room, &ann)
            .await
            .unwrap();
        let names = store
            .parts
            .blocks
            .people
            .senders(std::slice::from_ref(&ann))
            .await
            .unwrap();
        (status.role, status.blocked, names[0].display_name.clone())
    };
    let member = (Some(RoomRole::Member), false, "ann".to_owned());
    assert_eq!(look().await, member);
    let before = fixture.commands.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        assert_eq!(look().await, member);
    }
    // But for those of a timer.
    assert!(fixture.commands.load(Ordering::Relaxed) < before + 100);
    // What is changed here is known here.
    store
        .parts
        .blocks
        .block(&bob, &ann, Timestamp::now())
        .await
        .unwrap();
    assert!(look().await.1);
    store.parts.blocks.unblock(&bob, &ann).await.unwrap();
    assert!(!look().await.1);
    let change = crate::ProfileChange {
        display_name: Some("Anna".to_owned()),
        ..crate::ProfileChange::default()
    };
    store.parts.users.update_user(&ann, change).await.unwrap();
    assert_eq!(look().await.2, "Anna");
    store
        .parts
        .membership_changes
        .remove_member(&room, &ann)
        .await
        .unwrap();
    assert_eq!(look().await.0, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_room_is_purged_after_a_minute() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (ann, bob) = tokio::join!(fixture.user("ann"), fixture.user("bob"));
    let gone = fixture.room(&[&ann, &bob]).await;
    let kept = fixture.room(&[&ann, &bob]).await;
    let collections = store.parts.database.collections().await.unwrap();
    for (room, number) in [(&gone, 1_200), (&kept, 3)] {
        let entries = (0..number).map(|seq: i64| {
            doc! { "_id": { "r": room.as_str(), "s": seq }, "roomId": room.as_str(), "seq": seq }
        });
        let log = collections.room_log.clone_with_type::<Document>();
        log.insert_many(entries.clone()).await.unwrap();
        let reactions = collections.reactions.clone_with_type::<Document>();
        reactions.insert_many(entries).await.unwrap();
    }
    store
        .parts
        .rooms
        .delete_room(&gone, &ann, Timestamp::now())
        .await
        .unwrap();
    let now = DateTime::now();
    // Somebody may still be on the way.
    store.parts.purger.purge(now).await.unwrap();
    let of = |room: &RoomId| doc! { "roomId": room.as_str() };
    assert_eq!(fixture.count("members", of(&gone)).await, 2);
    let later = DateTime::from_millis(now.timestamp_millis() + 120_000);
    store.parts.purger.purge(later).await.unwrap();
    for name in ["members", "memberships", "room_log", "reactions"] {
        assert_eq!(fixture.count(name, of(&gone)).await, 0, "{name}");
        assert!(fixture.count(name, of(&kept)).await >= 2, "{name}");
    }
    assert_eq!(fixture.count("rooms", doc! {}).await, 1);
    assert_eq!(fixture.count("purges", doc! {}).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_user_who_was_joining_is_purged_from_the_room() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (ann, bob) = tokio::join!(fixture.user("ann"), fixture.user("bob"));
    let room = fixture.room(&[&ann]).await;
    store
        .parts
        .deletion
        .delete_user(&bob, Timestamp::now())
        .await
        .unwrap();
    // It had been looked at before the deletion, and was written after it.
    let joined =
        store
            .parts
            .membership_changes
            .join(&room, &bob, RoomRole::Member, Timestamp::now());
    assert!(joined.await.unwrap());
    assert_eq!(
        store
            .parts
            .room_views
            .room(&room, None)
            .await
            .unwrap()
            .member_count,
        2
    );
    assert_eq!(
        store
            .parts
            .members
            .members(&room, None, 10)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 120_000);
    store.parts.purger.purge(later).await.unwrap();
    assert_eq!(
        store
            .parts
            .room_views
            .room(&room, None)
            .await
            .unwrap()
            .member_count,
        1
    );
    assert_eq!(fixture.count("memberships", doc! {}).await, 1);
    assert_eq!(fixture.count("purges", doc! {}).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_version_made_findable_is_made_anew() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let fixture = Fixture::new().await;
    let ann = fixture.user("王小明").await;
    let room = fixture.room(&[&ann]).await;
    fixture.append(&room, &ann, message("我家在上海东边")).await;
    let database = fixture.store.parts.database.driver();
    let older = doc! { "$unset": { "version": "" }, "$set": { "pieces": ["王"] } };
    for names in [collections::PEOPLE, collections::PUBLIC_ROOMS] {
        let names = database.collection::<Document>(names);
        names.update_many(doc! {}, older.clone()).await.unwrap();
    }
    let block = doc! {
        "_id": { "r": room.as_str(), "b": 0i64 }, "roomId": room.as_str(), "block": 0i64,
        "words": ["我家在上海东边"], "complete": true,
    };
    let blocks = database.collection::<Document>(collections::WORD_BLOCKS);
    blocks.insert_one(block).await.unwrap();

    let store = MongoStore::connect(config(&fixture.uri)).await.unwrap();
    let found = store
        .parts
        .search
        .search(&room, "上海", None, 10, None)
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1);
    let renewed = async {
        loop {
            let users = store
                .parts
                .users
                .find_users("小明", None, 10)
                .await
                .unwrap()
                .items;
            let rooms = store
                .parts
                .room_views
                .public_rooms(Some("room"), None, 10, None);
            if users.len() == 1 && rooms.await.unwrap().items.len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert!(!renewal::step(&store.parts.database).await.unwrap());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_ends_searches_that_take_too_long() {
    let fixture = Fixture::new().await;
    let ann = fixture.user("ann").await;
    let room = fixture.room(&[&ann]).await;
    fixture.append(&room, &ann, message("hello")).await;
    let parts = &fixture.store.parts;
    fixture.queries.lock().clear();
    let viewer = Some(&ann);
    parts.users.find_users("ann", None, 10).await.unwrap();
    let rooms = parts
        .room_views
        .public_rooms(Some("room"), None, 10, viewer);
    rooms.await.unwrap();
    let search = parts.search.search(&room, "hello", None, 10, viewer);
    assert_eq!(search.await.unwrap().items.len(), 1);
    let queries = fixture.queries.lock();
    for collection in [
        collections::PEOPLE,
        collections::PUBLIC_ROOMS,
        collections::ROOM_LOG,
    ] {
        let mut searched = queries.iter().filter(|sent| sent.collection == collection);
        assert!(
            searched.any(|sent| sent.budget == Some(2_000)),
            "{collection} in {queries:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_far_back_is_found_by_the_words_of_its_block() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let fixture = Fixture::new().await;
    let ann = fixture.user("ann").await;
    let room = fixture.room(&[&ann]).await;
    for body in ["我家在上海东边", "Crème brûlée 👍🏽"] {
        fixture.append(&room, &ann, message(body)).await;
    }
    for _ in 0..11 {
        let sends = (0..100).map(|number| {
            let body = format!("filler {number}");
            let (fixture, room, ann) = (&fixture, &room, &ann);
            async move { fixture.append(room, ann, message(&body)).await }
        });
        futures_util::future::join_all(sends).await;
    }
    let written = async {
        let complete = doc! { "complete": true, "version": text::VERSION };
        while fixture
            .count(collections::WORD_BLOCKS, complete.clone())
            .await
            == 0
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    let found = async |query: &str| {
        let page = fixture
            .store
            .parts
            .search
            .search(&room, query, None, 10, None)
            .await
            .unwrap();
        let seqs = page.items.iter().map(|message| message.seq);
        seqs.collect::<Vec<_>>()
    };
    for (query, wanted) in [
        ("上海", &[1][..]),
        ("家在上海", &[1]),
        ("海", &[1]),
        ("海上", &[]),
        ("creme brul", &[2]),
        ("👍", &[2]),
        ("brulee creme", &[2]),
        ("creme 上海", &[]),
    ] {
        assert_eq!(found(query).await, wanted, "{query}");
    }
    let edit = Change::Edit {
        of: 1,
        body: "now in 北京".to_owned(),
    };
    fixture.append(&room, &ann, edit).await;
    assert_eq!(found("北京").await, [1]);
    assert_eq!(found("上海").await, [0; 0]);
}

#[tokio::test]
async fn accounts_from_before_there_were_versions_go_on_and_their_addresses_are_free() {
    let fixture = Fixture::new().await;
    let ann = fixture
        .store
        .parts
        .users
        .create_user(new_user("ann"), Timestamp::now())
        .await
        .unwrap();
    // As the version before wrote them.
    let database = fixture.store.parts.database.driver();
    let users = database.collection::<Document>("users");
    let unset = doc! { "$unset": { "signInVersion": "" } };
    users
        .update_one(doc! { "_id": ann.id.as_str() }, unset)
        .await
        .unwrap();
    let claim = doc! { "_id": "ann@example.org", "userId": ann.id.as_str() };
    let emails = database.collection::<Document>("emails");
    emails.insert_one(claim).await.unwrap();

    let next = MongoStore::connect(config(&fixture.uri)).await.unwrap();
    assert_eq!(next.parts.users.user(&ann.id).await.unwrap(), ann);
    assert_eq!(fixture.count("emails", doc! {}).await, 0);
    let bob = NewUser {
        email: ann.email.clone(),
        ..new_user("bob")
    };
    next.parts
        .users
        .create_user(bob, Timestamp::now())
        .await
        .unwrap();
    for version in 0..2 {
        let set = next
            .parts
            .users
            .set_password(&ann.id, version, Secret::from("other"));
        assert_eq!(set.await.unwrap(), version + 1);
    }
    let late = next
        .parts
        .users
        .set_password(&ann.id, 0, Secret::from("late"))
        .await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
}
