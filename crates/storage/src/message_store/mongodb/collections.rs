//! The collections: their names, their shard keys and their indexes.
//!
//! What must stay true:
//! - a shard key is one hashed field, and every operation on a sharded collection except an insert has that field in its
//!   filter, equal to a value or in a list of values: a router asks one shard, or those of the list, never all of them;
//! - a unique index of a sharded collection begins with the field of the shard key: elsewhere uniqueness isn't to be had.
//!
//! What must be unique or found otherwise is in collections that aren't sharded. These are small: a document a name, a
//! public room.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};

use super::api_keys::ApiKeyDocument;
use super::documents::{
    BlocksDocument, ClaimDocument, EntryDocument, GuestDocument, MemberDocument,
    MembershipDocument, PurgeDocument, ReactionDocument, RoomDocument, UserDocument,
    WordBlockDocument,
};
use super::name_index::Named;

/// How long a room stays in `degraded_heads`. The server removes what is older once a minute.
const DEGRADED_FOR: Duration = Duration::from_secs(60);

/// What `migrate` makes of a collection.
pub struct Specification {
    pub name: &'static str,
    /// The field of the hashed shard key; none for a collection that isn't sharded.
    pub shard_key: Option<&'static str>,
    pub indexes: fn() -> Vec<IndexModel>,
}

const fn sharded(
    name: &'static str,
    shard_key: &'static str,
    indexes: fn() -> Vec<IndexModel>,
) -> Specification {
    Specification {
        name,
        shard_key: Some(shard_key),
        indexes,
    }
}

const fn whole(name: &'static str, indexes: fn() -> Vec<IndexModel>) -> Specification {
    Specification {
        name,
        shard_key: None,
        indexes,
    }
}

pub const USERS: &str = "users";
pub const USERNAMES: &str = "usernames";
pub const PEOPLE: &str = "people";
pub const GUESTS: &str = "guests";
pub const BLOCKS: &str = "blocks";
pub const ROOMS: &str = "rooms";
pub const PUBLIC_ROOMS: &str = "public_rooms";
pub const MEMBERS: &str = "members";
pub const MEMBERSHIPS: &str = "memberships";
pub const PURGES: &str = "purges";
pub const ROOM_LOG: &str = "room_log";
pub const REACTIONS: &str = "reactions";
pub const WORD_BLOCKS: &str = "word_blocks";
pub const API_KEYS: &str = "api_keys";
pub const DEGRADED_HEADS: &str = "degraded_heads";

/// All of them.
pub const ALL: [Specification; 15] = [
    sharded(USERS, "_id", Vec::new),
    whole(USERNAMES, Vec::new),
    // Users and public rooms by the pieces of their names, in the order of their ids.
    whole(PEOPLE, || vec![index(doc! { "pieces": 1, "_id": 1 })]),
    whole(GUESTS, || vec![index(doc! { "createdAt": 1, "_id": 1 })]),
    sharded(BLOCKS, "_id", Vec::new),
    sharded(ROOMS, "_id", Vec::new),
    whole(PUBLIC_ROOMS, || vec![index(doc! { "pieces": 1, "_id": 1 })]),
    sharded(MEMBERS, "roomId", || {
        vec![unique(doc! { "roomId": 1, "userId": 1 }), ranks()]
    }),
    sharded(MEMBERSHIPS, "userId", || {
        vec![unique(doc! { "userId": 1, "roomId": 1 })]
    }),
    whole(PURGES, || vec![index(doc! { "due": 1 })]),
    sharded(ROOM_LOG, "roomId", || {
        vec![index(log_order()), client_ids()]
    }),
    sharded(REACTIONS, "roomId", Vec::new),
    sharded(WORD_BLOCKS, "roomId", || {
        vec![
            index(doc! { "roomId": 1, "words": 1, "block": 1 }),
            stale_blocks(),
        ]
    }),
    whole(API_KEYS, Vec::new),
    whole(DEGRADED_HEADS, || vec![expiring(doc! { "at": 1 })]),
];

fn index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn unique(keys: Document) -> IndexModel {
    let options = IndexOptions::builder().unique(true).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// Owners and moderators, the longest there first: who leads a room of thousands is found without reading them all.
fn ranks() -> IndexModel {
    let leading = doc! { "role": { "$gt": "member" } };
    let options = IndexOptions::builder()
        .partial_filter_expression(leading)
        .build();
    IndexModel::builder()
        .keys(doc! { "roomId": 1, "role": 1, "joinedAt": 1, "userId": 1 })
        .options(options)
        .build()
}

/// The log of a room in its order, and what counting needs: messages alone have a sender.
pub fn log_order() -> Document {
    doc! { "roomId": 1, "seq": 1, "senderId": 1, "deletedSeq": 1 }
}

/// One message a `clientId`.
fn client_ids() -> IndexModel {
    let named = doc! { "clientId": { "$exists": true } };
    let options = IndexOptions::builder()
        .unique(true)
        .partial_filter_expression(named)
        .build();
    IndexModel::builder()
        .keys(doc! { "roomId": 1, "senderId": 1, "clientId": 1 })
        .options(options)
        .build()
}

fn stale_blocks() -> IndexModel {
    let options = IndexOptions::builder()
        .partial_filter_expression(doc! { "stale": true })
        .build();
    IndexModel::builder()
        .keys(doc! { "roomId": 1, "block": 1 })
        .options(options)
        .build()
}

fn expiring(keys: Document) -> IndexModel {
    let options = IndexOptions::builder().expire_after(DEGRADED_FOR).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// Handles to the collections.
pub struct Collections {
    pub users: Collection<UserDocument>,
    pub usernames: Collection<ClaimDocument>,
    pub people: Collection<Named>,
    pub guests: Collection<GuestDocument>,
    pub blocks: Collection<BlocksDocument>,
    pub rooms: Collection<RoomDocument>,
    pub public_rooms: Collection<Named>,
    pub members: Collection<MemberDocument>,
    pub memberships: Collection<MembershipDocument>,
    pub purges: Collection<PurgeDocument>,
    /// Messages and changes, by room: `_id` is `{ r: roomId, s: seq }`.
    pub room_log: Collection<EntryDocument>,
    /// Who put which emoji to what, by room.
    pub reactions: Collection<ReactionDocument>,
    /// The words of the messages, by room and stretches of its log.
    pub word_blocks: Collection<WordBlockDocument>,
    pub api_keys: Collection<ApiKeyDocument>,
    /// Rooms that were written to without Redis.
    pub degraded_heads: Collection<Document>,
}

impl Collections {
    pub fn of(database: &Database) -> Self {
        Self {
            users: database.collection(USERS),
            usernames: database.collection(USERNAMES),
            people: database.collection(PEOPLE),
            guests: database.collection(GUESTS),
            blocks: database.collection(BLOCKS),
            rooms: database.collection(ROOMS),
            public_rooms: database.collection(PUBLIC_ROOMS),
            members: database.collection(MEMBERS),
            memberships: database.collection(MEMBERSHIPS),
            purges: database.collection(PURGES),
            room_log: database.collection(ROOM_LOG),
            reactions: database.collection(REACTIONS),
            word_blocks: database.collection(WORD_BLOCKS),
            api_keys: database.collection(API_KEYS),
            degraded_heads: database.collection(DEGRADED_HEADS),
        }
    }
}
