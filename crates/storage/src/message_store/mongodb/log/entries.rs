//! Reading entries of the rooms' logs, and filling gaps in them.

use std::collections::HashSet;

use mongodb::bson::{Document, doc};
use mongodb::options::{Hint, ReadConcern};
use protocol::{RoomId, Timestamp, UserId};
use serde::Deserialize;

use super::super::collections::log_order;
use super::super::database::Database;
use super::super::documents::{EntryDocument, Kind, at_seqs, stored_seq};
use super::super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::super::query::all;
use crate::StoreError;

/// What a sender calls a message, unique in its room: a second message of the same name is the first one, sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub sender: UserId,
    pub client_id: String,
}

impl IdempotencyKey {
    /// True if an entry is the message of this name.
    pub fn is_of(&self, entry: &EntryDocument) -> bool {
        entry.sender_id.as_ref() == Some(&self.sender)
            && entry.client_id.as_deref() == Some(&self.client_id)
    }
}

#[derive(Deserialize)]
struct Position {
    seq: i64,
}

/// Reads entries. Cloning shares it.
#[derive(Clone)]
pub struct Entries {
    pub(super) database: Database,
}

impl Entries {
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
        }
    }

    /// The entries at these `seq`s.
    pub async fn at(&self, room: &RoomId, seqs: Vec<u64>) -> Outcome<Vec<EntryDocument>> {
        let filter = at_seqs(room, seqs);
        all(self.database.collections().await?.room_log.find(filter)).await
    }

    /// Those of these messages that are in the log.
    pub async fn with_keys(
        &self,
        room: &RoomId,
        keys: &[IdempotencyKey],
    ) -> Outcome<Vec<EntryDocument>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let alternatives: Vec<Document> = keys
            .iter()
            .map(|key| {
                doc! {
                    "roomId": room.as_str(),
                    "senderId": key.sender.as_str(),
                    "clientId": &key.client_id,
                }
            })
            .collect();
        let filter = doc! { "roomId": room.as_str(), "$or": alternatives };
        all(self.database.collections().await?.room_log.find(filter)).await
    }

    /// Which of these `seq`s are those of messages.
    pub async fn messages_among(
        &self,
        room: &RoomId,
        seqs: impl IntoIterator<Item = u64>,
    ) -> Outcome<HashSet<u64>> {
        let mut filter = at_seqs(room, seqs);
        filter.insert("kind", Kind::Message.text());
        let collections = self.database.collections().await?;
        let log = collections.room_log.clone_with_type::<Position>();
        let find = log.find(filter).projection(doc! { "_id": 0, "seq": 1 });
        Ok(seqs_of(all(find).await?).collect())
    }

    /// The next `limit` `seq`s of a room behind one that are written, from the index alone.
    pub async fn seqs_after(&self, room: &RoomId, seq: u64, limit: usize) -> Outcome<Vec<u64>> {
        let collections = self.database.collections().await?;
        let log = collections.room_log.clone_with_type::<Position>();
        let find = log
            .find(after(room, seq))
            .sort(doc! { "seq": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .projection(doc! { "_id": 0, "seq": 1 })
            .hint(Hint::Keys(log_order()));
        Ok(seqs_of(all(find).await?).collect())
    }

    /// The last `seq` of a room that is written, whatever is missing below; 0 if none is.
    pub async fn last_seq(&self, room: &RoomId) -> Outcome<u64> {
        let collections = self.database.collections().await?;
        let log = collections.room_log.clone_with_type::<Position>();
        // Also what a majority hasn't got yet: its `seq` is taken, or soon free, and then found to be missing.
        let last = log
            .find_one(after(room, 0))
            .sort(doc! { "seq": -1 })
            .projection(doc! { "_id": 0, "seq": 1 })
            .hint(Hint::Keys(log_order()))
            .read_concern(ReadConcern::local());
        let last = bounded(last).await?;
        Ok(last.map_or(0, |last| last.seq.unsigned_abs()))
    }

    /// Fills those of these `seq`s that are free with tombstones.
    pub async fn fill(&self, room: &RoomId, seqs: &[u64]) -> Outcome<()> {
        let at = Timestamp::now();
        let tombstones = seqs
            .iter()
            .map(|seq| EntryDocument::tombstone(room, *seq, at));
        let log = &self.database.collections().await?.room_log;
        let insert = log.insert_many(tombstones).ordered(false);
        match bounded(insert).await {
            // Somebody else was first, which is as well.
            Err(Failure::Mongodb(error)) if is_duplicate(&error) => Ok(()),
            result => result.map(drop),
        }
    }

    /// The visible head that was saved in the room's document, or the `seq` up to which the log was trimmed. `NotFound`
    /// if there is no such room.
    pub async fn saved_head(&self, room: &RoomId) -> Outcome<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Saved {
            #[serde(default)]
            floor_seq: i64,
            #[serde(default)]
            head_hint: i64,
        }
        let collections = self.database.collections().await?;
        let rooms = collections.rooms.clone_with_type::<Saved>();
        let find = rooms
            .find_one(doc! { "_id": room.as_str() })
            .projection(doc! { "_id": 0, "floorSeq": 1, "headHint": 1 });
        let saved = bounded(find).await?.ok_or(StoreError::NotFound)?;
        Ok(saved.floor_seq.max(saved.head_hint).unsigned_abs())
    }

    /// Saves a visible head in the room's document, unless a later one is there.
    pub async fn save_head(&self, room: &RoomId, seq: u64) -> Outcome<()> {
        let rooms = &self.database.collections().await?.rooms;
        let raise = doc! { "$max": { "headHint": stored_seq(seq) } };
        bounded(rooms.update_one(doc! { "_id": room.as_str() }, raise)).await?;
        Ok(())
    }
}

fn seqs_of(positions: Vec<Position>) -> impl Iterator<Item = u64> {
    let positions = positions.into_iter();
    positions.map(|position| position.seq.unsigned_abs())
}

/// The entries of a room behind a `seq`, as a filter.
pub fn after(room: &RoomId, seq: u64) -> Document {
    doc! { "roomId": room.as_str(), "seq": { "$gt": stored_seq(seq) } }
}

/// The messages of a room behind one `seq` and before another, as a filter. That they have a sender is seen in the index.
pub fn messages_between(room: &RoomId, after: u64, before: u64) -> Document {
    doc! {
        "roomId": room.as_str(),
        "seq": { "$gt": stored_seq(after), "$lt": stored_seq(before) },
        "senderId": { "$gt": "" },
    }
}
