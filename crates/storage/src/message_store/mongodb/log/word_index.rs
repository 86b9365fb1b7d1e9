//! The index of which words are in which part of a room's log, so that a search needn't read all of it. A block is a
//! stretch of the log; once the visible head has passed it, the words of its messages are written together, once each.
//!
//! An index entry for each word of each message would cost more than all else that is written with it: measured with
//! twelve words a message, a batch of 100 took 340 µs of the servers' time for each message with such an index and 130 µs
//! without. A block has each word once, whose index entries are a fifth of that or less, and they are written later,
//! when nobody waits.
//!
//! What must stay true:
//! - a block that is complete has at least the words of its messages; what is found there is looked for in the messages
//!   themselves, so a word too many costs time and nothing else;
//! - who edits or deletes a message after its block was passed touches the block in the same transaction: it can't be
//!   that the block is being written at that moment from what was before;
//! - blocks become complete in their order;
//! - words of deleted messages go soon: the block is stale, and written anew.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::Hint;
use protocol::RoomId;
use serde::Deserialize;
use text::Query;

use super::super::database::Database;
use super::super::documents::stored_seq;
use super::super::failure::{Outcome, bounded};
use super::super::query::{all, all_in};
use super::super::transaction::Transaction;
use super::VisibleHeads;
use super::entries::messages_between;
use super::words::{ANY, BLOCK, DueBlocks, WORDS, end_of, having, key, words};

/// Blocks that one look-up returns.
const MATCHES: i64 = 32;

/// How often blocks are written that are due.
const EVERY: Duration = Duration::from_secs(1);

/// Reads and writes the word index.
pub struct WordIndex {
    database: Database,
    heads: VisibleHeads,
    due: Arc<DueBlocks>,
}

impl WordIndex {
    pub fn new(database: &Database, heads: &VisibleHeads, due: &Arc<DueBlocks>) -> Self {
        Self {
            database: database.clone(),
            heads: heads.clone(),
            due: Arc::clone(due),
        }
    }

    /// Writes what is due until the store is gone.
    pub async fn run(index: Weak<Self>) {
        loop {
            // Spread: of two instances that saw a block being passed one is first, and the other finds it written.
            let spread = f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0;
            tokio::time::sleep(EVERY.mul_f64(0.5 + spread)).await;
            let Some(index) = index.upgrade() else {
                return;
            };
            index.write_due().await;
        }
    }

    async fn write_due(&self) {
        for room in self.due.take_rooms() {
            if let Err(failure) = self.extend(&room).await {
                tracing::debug!(?failure, %room, "the words of a room can't be indexed");
            }
        }
        for (room, block) in self.due.take_stale() {
            if let Err(failure) = self.write_block(&room, block, false).await {
                tracing::debug!(?failure, %room, "the words of a block can't be renewed");
            }
        }
    }

    /// A search found blocks of a room that should have been written: they are written soon.
    pub fn is_behind(&self, room: &RoomId) {
        self.due.extend(room);
    }

    /// Writes the blocks of a room that the visible head has passed and that aren't written, and renews the stale ones.
    async fn extend(&self, room: &RoomId) -> Outcome<()> {
        let head = self.heads.of(room).await?;
        let visible = self.heads.known(room, &head).await?;
        let mut block = self.complete_blocks(room).await?;
        while end_of(block) <= visible {
            self.write_block(room, block, true).await?;
            block += 1;
        }
        let stale = doc! { "roomId": room.as_str(), "stale": true };
        let collections = self.database.collections().await?;
        let blocks = collections.word_blocks.clone_with_type::<Numbered>();
        let stale = all(blocks.find(stale).projection(doc! { "_id": 0, "block": 1 })).await?;
        for Numbered { block } in stale {
            self.write_block(room, block.unsigned_abs(), false).await?;
        }
        Ok(())
    }

    /// Writes the words of a block; of one that isn't complete only if `complete`.
    async fn write_block(&self, room: &RoomId, block: u64, complete: bool) -> Outcome<()> {
        let mut transaction = Transaction::new(&self.database).await?;
        loop {
            let session = transaction.start().await?;
            let written = self.write_words(session, room, block, complete).await;
            if let Some(result) = transaction.finish(written).await {
                return result;
            }
        }
    }

    async fn write_words(
        &self,
        session: &mut ClientSession,
        room: &RoomId,
        block: u64,
        complete: bool,
    ) -> Outcome<()> {
        let collections = self.database.collections().await?;
        let log = collections.room_log.clone_with_type::<Body>();
        let messages = messages_between(room, block * BLOCK, end_of(block) + 1);
        let bodies = all_in(&log, messages, session).await?;
        let mut found = BTreeSet::new();
        for Body { body } in bodies {
            found.extend(words(&text::tokens(&body)));
        }
        let found: Vec<String> = match found.len() > WORDS {
            true => vec![ANY.to_owned()],
            false => found.into_iter().collect(),
        };
        let set = doc! {
            "words": found, "complete": true, "version": text::VERSION, "stale": false,
        };
        let set = doc! { "$set": set };
        let mut filter = key(room, block);
        if !complete {
            filter.insert("complete", true);
            filter.insert("version", text::VERSION);
        }
        let numbered = doc! { "block": stored_seq(block) };
        let mut update = set;
        if complete {
            update.insert("$setOnInsert", numbered);
        }
        let blocks = &collections.word_blocks;
        bounded(
            blocks
                .update_one(filter, update)
                .upsert(complete)
                .session(session),
        )
        .await?;
        Ok(())
    }

    /// How many blocks of a room are complete: those from the first on.
    pub async fn complete_blocks(&self, room: &RoomId) -> Outcome<u64> {
        let first = doc! { "r": room.as_str(), "b": 0i64 };
        let last = doc! { "r": room.as_str(), "b": i64::MAX };
        let filter = doc! {
            "roomId": room.as_str(),
            "_id": { "$gte": first, "$lte": last },
            "complete": true,
            "version": text::VERSION,
        };
        let collections = self.database.collections().await?;
        let blocks = collections.word_blocks.clone_with_type::<Numbered>();
        let find = blocks
            .find_one(filter)
            .sort(doc! { "_id": -1 })
            .projection(doc! { "_id": 0, "block": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }));
        let last = bounded(find).await?;
        Ok(last.map_or(0, |last| last.block.unsigned_abs() + 1))
    }

    /// The last blocks of a room before `before` that hold the words of a query, the last first.
    pub async fn blocks_with(
        &self,
        room: &RoomId,
        query: &Query,
        before: u64,
    ) -> Outcome<Vec<u64>> {
        let collections = self.database.collections().await?;
        let blocks = collections.word_blocks.clone_with_type::<Numbered>();
        let mut found = BTreeSet::new();
        for parts in [having(query), vec![doc! { "words": ANY }]] {
            let filter = doc! {
                "roomId": room.as_str(),
                "$and": parts,
                "block": { "$lt": stored_seq(before) },
            };
            let find = blocks
                .find(filter)
                .sort(doc! { "block": -1 })
                .limit(MATCHES)
                .projection(doc! { "_id": 0, "block": 1 });
            let blocks = all(find).await?.into_iter();
            found.extend(blocks.map(|Numbered { block }| block.unsigned_abs()));
        }
        Ok(found.into_iter().rev().take(MATCHES as usize).collect())
    }
}

#[derive(Deserialize)]
struct Numbered {
    block: i64,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    body: String,
}
