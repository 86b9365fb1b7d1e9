//! What lies in the collections of the rooms' logs.
//!
//! What must stay true: the fields of a key stand in this order, for keys are compared as they are written; `roomId` and
//! `seq` stand beside the key, the first because it is the shard key, both for the index by which the log is read; an
//! entry's `id` is its writer's own, so that a writer knows its entry among others' at the same place.

use mongodb::bson::{Bson, DateTime, Document, doc};
use protocol::limits::SEQ_MAX;
use protocol::{RoomId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::super::ids::new_id;
use super::values::time;

/// A `seq` as it is stored. One beyond every log becomes the last that could be.
pub(super) fn stored_seq(seq: u64) -> i64 {
    i64::try_from(seq.min(SEQ_MAX)).unwrap_or(i64::MAX)
}

/// The key of a place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryKey {
    pub r: RoomId,
    pub s: i64,
}

/// The key of a place as a value in a query.
pub(super) fn entry_key(room: &RoomId, seq: u64) -> Bson {
    Bson::Document(doc! { "r": room.as_str(), "s": stored_seq(seq) })
}

/// These places of a room, as a filter.
pub(super) fn at_places(room: &RoomId, seqs: impl IntoIterator<Item = u64>) -> Document {
    let keys: Vec<Bson> = seqs.into_iter().map(|seq| entry_key(room, seq)).collect();
    doc! { "roomId": room.as_str(), "_id": { "$in": keys } }
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Message,
    Edited,
    Deleted,
    Reacted,
    Unreacted,
    Void,
}

impl Kind {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
            Self::Unreacted => "unreacted",
            Self::Void => "void",
        }
    }
}

/// An entry of a log. Only a message has a `senderId`, which tells it from the others in the index.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryDocument {
    #[serde(rename = "_id")]
    pub key: EntryKey,
    pub room_id: RoomId,
    pub seq: i64,
    pub kind: Kind,
    /// Of a message the message's, of a change and a void a name of its own.
    pub id: String,
    pub at: DateTime,

    // Of a message, in its present state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime>,
    /// The `seq` of the change that deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_seq: Option<i64>,
    /// In the order of their coming.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<ReactionCount>,

    // Of a change.
    /// The `seq` of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

impl EntryDocument {
    /// An entry of which nothing is known but where it stands.
    pub(super) fn new(room: &RoomId, seq: u64, kind: Kind, id: String, at: Timestamp) -> Self {
        Self {
            key: EntryKey {
                r: room.clone(),
                s: stored_seq(seq),
            },
            room_id: room.clone(),
            seq: stored_seq(seq),
            kind,
            id,
            at: time(at),
            sender_id: None,
            client_id: None,
            body: None,
            reply_to: None,
            mentions: Vec::new(),
            edited_at: None,
            deleted_at: None,
            deleted_seq: None,
            reactions: Vec::new(),
            of: None,
            actor_id: None,
            emoji: None,
        }
    }

    /// What fills a place that nobody came to.
    pub(super) fn void(room: &RoomId, seq: u64, at: Timestamp) -> Self {
        Self::new(room, seq, Kind::Void, new_id(), at)
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq.unsigned_abs()
    }

    /// Bytes of its text.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, String::len)
    }
}

/// How many have put an emoji to a message. Short names: a message has up to twenty of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReactionCount {
    /// The emoji.
    pub e: String,
    /// How many.
    pub n: i64,
    /// The `seq` of the change that first put it.
    pub f: i64,
}

/// What one user last did with one emoji at one message.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReactionDocument {
    #[serde(rename = "_id")]
    pub key: ReactionKey,
    pub room_id: RoomId,
    pub present: bool,
    /// The `seq` of the change.
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReactionKey {
    pub r: RoomId,
    /// The `seq` of the message.
    pub s: i64,
    pub u: UserId,
    pub e: String,
}

/// The key of a reaction as a value in a query.
pub(super) fn reaction_key(room: &RoomId, of: u64, user: &UserId, emoji: &str) -> Bson {
    Bson::Document(doc! {
        "r": room.as_str(),
        "s": stored_seq(of),
        "u": user.as_str(),
        "e": emoji,
    })
}
