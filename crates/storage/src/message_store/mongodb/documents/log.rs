//! Documents of the rooms' logs.
//!
//! What must stay true: the fields of a key stand in this order, for keys are compared as they are written; `roomId` and
//! `seq` stand beside the key, the first because it is the shard key, both for the index by which the log is read; an
//! entry's `id` is its writer's own, so that a writer recognises its entry at a contested `seq`.

use mongodb::bson::{Bson, DateTime, Document, doc};
use protocol::limits::SEQ_MAX;
use protocol::{AttachmentId, RoomId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::super::super::ids::new_id;
use super::super::values::time;

/// A `seq` as it is stored. One beyond every log becomes the largest possible.
pub fn stored_seq(seq: u64) -> i64 {
    i64::try_from(seq.min(SEQ_MAX)).unwrap_or(i64::MAX)
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryKey {
    pub r: RoomId,
    pub s: i64,
}

/// The key of an entry as a value in a query.
pub fn entry_key(room: &RoomId, seq: u64) -> Bson {
    Bson::Document(doc! { "r": room.as_str(), "s": stored_seq(seq) })
}

/// The entries of a room with these `seq`s, as a filter.
pub fn at_seqs(room: &RoomId, seqs: impl IntoIterator<Item = u64>) -> Document {
    let keys: Vec<Bson> = seqs.into_iter().map(|seq| entry_key(room, seq)).collect();
    doc! { "roomId": room.as_str(), "_id": { "$in": keys } }
}

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Message,
    Edited,
    Deleted,
    Reacted,
    Unreacted,
    Processed,
    /// A tombstone, which fills a gap.
    Void,
}

impl Kind {
    pub fn text(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
            Self::Unreacted => "unreacted",
            Self::Processed => "processed",
            Self::Void => "void",
        }
    }
}

/// An entry of a log. Only a message has a `senderId`, which tells it from the others in the index.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryDocument {
    #[serde(rename = "_id")]
    pub key: EntryKey,
    pub room_id: RoomId,
    pub seq: i64,
    pub kind: Kind,
    /// A message's id; a change or a tombstone has one of its own.
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
    /// What is attached, as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime>,
    /// The `seq` of the change that deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_seq: Option<i64>,
    /// In the order in which they were first added.
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
    /// The attachment of the message that was processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<AttachmentId>,
}

impl EntryDocument {
    /// An entry with its position alone.
    pub fn new(room: &RoomId, seq: u64, kind: Kind, id: String, at: Timestamp) -> Self {
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
            attachments: None,
            edited_at: None,
            deleted_at: None,
            deleted_seq: None,
            reactions: Vec::new(),
            of: None,
            actor_id: None,
            emoji: None,
            attachment: None,
        }
    }

    /// A tombstone: the entry that fills a gap.
    pub fn tombstone(room: &RoomId, seq: u64, at: Timestamp) -> Self {
        Self::new(room, seq, Kind::Void, new_id(), at)
    }

    pub fn seq(&self) -> u64 {
        self.seq.unsigned_abs()
    }

    /// Bytes of its text.
    pub fn body_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        text(&self.body) + text(&self.attachments)
    }
}

/// How many users have reacted to a message with one emoji. Short names, for a message has up to twenty of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    /// The emoji.
    pub e: String,
    /// How many.
    pub n: i64,
    /// The `seq` of the change that first added it.
    pub f: i64,
}

/// The last thing a user did with one emoji on one message.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionDocument {
    #[serde(rename = "_id")]
    pub key: ReactionKey,
    pub room_id: RoomId,
    pub present: bool,
    /// The `seq` of the change.
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionKey {
    pub r: RoomId,
    /// The `seq` of the message.
    pub s: i64,
    pub u: UserId,
    pub e: String,
}

/// The key of a reaction as a value in a query.
pub fn reaction_key(room: &RoomId, of: u64, user: &UserId, emoji: &str) -> Bson {
    Bson::Document(doc! {
        "r": room.as_str(),
        "s": stored_seq(of),
        "u": user.as_str(),
        "e": emoji,
    })
}

/// The words of a stretch of a room's log.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WordBlockDocument {
    #[serde(rename = "_id")]
    key: WordBlockKey,
    room_id: RoomId,
    /// Its number: block 0 holds the `seq`s 1 to [`BLOCK`](super::super::log::words::BLOCK).
    block: i64,
    #[serde(default)]
    words: Vec<String>,
    /// True if it holds the words of all its messages.
    #[serde(default)]
    complete: bool,
    /// The version of the code that made the words. A block of an earlier version counts as missing.
    #[serde(default)]
    version: i32,
    /// True if it may hold words that none of its messages has any more.
    #[serde(default)]
    stale: bool,
}

#[derive(Serialize, Deserialize)]
pub struct WordBlockKey {
    r: RoomId,
    b: i64,
}
