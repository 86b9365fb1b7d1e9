//! Which words are in which part of a room's log, so that a search needn't read all of it. A block is a stretch of places;
//! once the log has gone past it, the words of its messages are written down together, once each.
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

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use parking_lot::Mutex;
use protocol::RoomId;
use serde::{Deserialize, Serialize};

use super::collections::{all, all_in};
use super::documents::stored_seq;
use super::failure::{Outcome, bounded};
use super::history::messages_between;
use super::transaction::Transaction;
use super::{MongoStore, Shared};
use text::{Query, Token};

/// Places of a block. Larger makes fewer index entries a message, and searches read more messages for each block that
/// has the words: this many take some milliseconds.
pub(super) const BLOCK: u64 = 1_024;

/// Different words of a block that are written down, in scripts without spaces every letter and every two in a row. One that has more is looked through for whatever is searched.
const WORDS: usize = 40_000;

/// Parts of a query that are looked for in the blocks; what these leave is compared with the whole of it.
const PARTS: usize = 16;

/// Stands for the words of such a block. No word is like it.
const ANY: &str = "*";

/// Blocks that are told at once.
const TOLD: i64 = 32;

/// How often blocks are written that are due.
const EVERY: Duration = Duration::from_secs(1);

/// Rooms and blocks that are due, at most. What is forgotten is found by the next search in the room.
const DUE: usize = 10_000;

/// A stretch of a room's log.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockDocument {
    #[serde(rename = "_id")]
    key: BlockKey,
    room_id: RoomId,
    /// Its number: block 0 has the places 1 to [`BLOCK`].
    block: i64,
    #[serde(default)]
    words: Vec<String>,
    /// Whether the words of all its messages are there.
    #[serde(default)]
    complete: bool,
    /// Of what made the words. A block of an earlier version is as good as none.
    #[serde(default)]
    version: i32,
    /// Whether there may be words that none of its messages has any more.
    #[serde(default)]
    stale: bool,
}

#[derive(Serialize, Deserialize)]
struct BlockKey {
    r: RoomId,
    b: i64,
}

/// The number of the block that a place is in.
pub(super) fn block_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BLOCK
}

/// The last place of a block.
fn end_of(block: u64) -> u64 {
    (block + 1) * BLOCK
}

/// What is to be written.
#[derive(Default)]
pub(super) struct WordIndex {
    /// Rooms whose logs have gone past a block.
    rooms: Mutex<HashSet<RoomId>>,
    /// Blocks in which a message was edited or deleted.
    stale: Mutex<HashSet<(RoomId, u64)>>,
}

impl WordIndex {
    /// The log of a room has gone on to a place.
    pub(super) fn passed(&self, room: &RoomId, before: u64, now: u64) {
        if before / BLOCK != now / BLOCK {
            self.extend(room);
        }
    }

    pub(super) fn extend(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock();
        if rooms.len() < DUE {
            rooms.insert(room.clone());
        }
    }

    pub(super) fn renew(&self, room: &RoomId, block: u64) {
        let mut stale = self.stale.lock();
        if stale.len() < DUE {
            stale.insert((room.clone(), block));
        }
    }
}

/// Writes what is due until the store is gone.
pub(super) fn start(store: &Arc<Shared>) {
    tokio::spawn(run(Arc::downgrade(store)));
}

async fn run(store: Weak<Shared>) {
    loop {
        // Spread: of two instances that saw a block being passed one is first, and the other finds it written.
        let spread = f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0;
        tokio::time::sleep(EVERY.mul_f64(0.5 + spread)).await;
        let Some(store) = store.upgrade().map(|shared| MongoStore { shared }) else {
            return;
        };
        let index = &store.shared.logs.words;
        let rooms = std::mem::take(&mut *index.rooms.lock());
        for room in rooms {
            if let Err(failure) = store.extend_words(&room).await {
                tracing::debug!(?failure, %room, "the words of a room can't be written down");
            }
        }
        let stale = std::mem::take(&mut *index.stale.lock());
        for (room, block) in stale {
            if let Err(failure) = store.write_block(&room, block, false).await {
                tracing::debug!(?failure, %room, "the words of a block can't be renewed");
            }
        }
    }
}

impl MongoStore {
    /// Writes the blocks that a room's log has passed and that aren't written, and renews what was left stale.
    async fn extend_words(&self, room: &RoomId) -> Outcome<()> {
        let head = self.room_head(room).await?;
        let visible = self.known(room, &head).await?;
        let mut block = self.complete_blocks(room).await?;
        while end_of(block) <= visible {
            self.write_block(room, block, true).await?;
            block += 1;
        }
        let stale = doc! { "roomId": room.as_str(), "stale": true };
        let blocks = self
            .collections()
            .await?
            .word_blocks
            .clone_with_type::<Numbered>();
        let stale = all(blocks.find(stale).projection(doc! { "_id": 0, "block": 1 })).await?;
        for Numbered { block } in stale {
            self.write_block(room, block.unsigned_abs(), false).await?;
        }
        Ok(())
    }

    /// Writes down the words of a block; of one that isn't complete only if it is to become so.
    async fn write_block(&self, room: &RoomId, block: u64, complete: bool) -> Outcome<()> {
        let mut transaction = Transaction::new(self).await?;
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
        let collections = self.collections().await?;
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
    pub(super) async fn complete_blocks(&self, room: &RoomId) -> Outcome<u64> {
        let first = doc! { "r": room.as_str(), "b": 0i64 };
        let last = doc! { "r": room.as_str(), "b": i64::MAX };
        let filter = doc! {
            "roomId": room.as_str(),
            "_id": { "$gte": first, "$lte": last },
            "complete": true,
            "version": text::VERSION,
        };
        let blocks = self
            .collections()
            .await?
            .word_blocks
            .clone_with_type::<Numbered>();
        let find = blocks
            .find_one(filter)
            .sort(doc! { "_id": -1 })
            .projection(doc! { "_id": 0, "block": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }));
        let last = bounded(find).await?;
        Ok(last.map_or(0, |last| last.block.unsigned_abs() + 1))
    }

    /// The last blocks of a room before a complete one that have the words of a query, the last first.
    pub(super) async fn blocks_with(
        &self,
        room: &RoomId,
        query: &Query,
        before: u64,
    ) -> Outcome<Vec<u64>> {
        let blocks = self
            .collections()
            .await?
            .word_blocks
            .clone_with_type::<Numbered>();
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
                .limit(TOLD)
                .projection(doc! { "_id": 0, "block": 1 });
            let blocks = all(find).await?.into_iter();
            found.extend(blocks.map(|Numbered { block }| block.unsigned_abs()));
        }
        Ok(found.into_iter().rev().take(TOLD as usize).collect())
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

/// What of a message is written down: its words, the letters that stand for themselves, and every two of these in a row.
fn words(tokens: &[Token]) -> BTreeSet<String> {
    let words = tokens.iter().map(|token| joined(&[token]));
    words.chain(tokens.windows(2).filter_map(pair)).collect()
}

fn pair(tokens: &[Token]) -> Option<String> {
    match tokens {
        [one @ Token::Single(_), other @ Token::Single(_)] => Some(joined(&[one, other])),
        _ => None,
    }
}

fn joined(tokens: &[&Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        token.push_to(&mut text);
    }
    text
}

/// What must be in a block that has a query, and the beginning of a word that must be.
fn parts(query: &Query) -> (Vec<String>, Option<String>) {
    let mut whole = BTreeSet::new();
    let mut beginning = None;
    for phrase in query.phrases() {
        let mut words = words(phrase);
        let pairs: Vec<String> = phrase.windows(2).filter_map(pair).collect();
        // A letter says nothing beside a pair with it.
        words.retain(|word| {
            pairs
                .iter()
                .all(|pair| pair == word || !pair.contains(word))
        });
        whole.extend(words);
    }
    if query.is_open()
        && let Some(last) = query.phrases().last().and_then(|phrase| phrase.last())
    {
        let last = joined(&[last]);
        let tokens = query.phrases().iter().flatten();
        // Elsewhere in the query it may be a whole word.
        if tokens.filter(|token| joined(&[token]) == last).count() == 1 {
            whole.remove(&last);
        }
        beginning = Some(last);
    }
    (whole.into_iter().take(PARTS).collect(), beginning)
}

/// The same as parts of a filter.
fn having(query: &Query) -> Vec<Document> {
    let (words, beginning) = parts(query);
    let words = words.into_iter().map(|word| doc! { "words": word });
    let beginning = beginning.map(|first| {
        let end = format!("{first}{}", char::MAX);
        doc! { "words": { "$elemMatch": { "$gte": first, "$lt": end } } }
    });
    words.chain(beginning).collect()
}

fn key(room: &RoomId, block: u64) -> Document {
    doc! {
        "_id": { "r": room.as_str(), "b": stored_seq(block) },
        "roomId": room.as_str(),
    }
}

/// What an edit or a deletion does to the block of its message, as an update of a transaction: nothing if the block can't
/// be written yet, for the entry of the change is itself not behind it.
pub(super) fn touch(room: &RoomId, of: u64, seq: u64, body: &str) -> Option<Document> {
    let block = block_of(of);
    if seq <= end_of(block) {
        return None;
    }
    let added: Vec<String> = words(&text::tokens(body)).into_iter().collect();
    Some(doc! {
        "q": key(room, block),
        "u": {
            "$addToSet": { "words": { "$each": added } },
            "$set": { "stale": true },
            "$setOnInsert": { "block": stored_seq(block) },
        },
        "upsert": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_words_letters_and_pairs_and_a_query_the_least_of_them() {
        let found: Vec<String> = words(&text::tokens("上海 tower C++")).into_iter().collect();
        assert_eq!(found, ["+", "++", "c", "tower", "上", "上海", "海"]);
        for (query, whole, beginning) in [
            ("b a-b a", &["a", "b"][..], Some("a")),
            ("b a", &["b"], Some("a")),
            ("b a *", &["a", "b"], None),
            ("上", &["上"], None),
            ("上海市", &["上海", "海市"], None),
            ("上a海", &["a", "上", "海"], None),
            ("上海 tow", &["上海"], Some("tow")),
        ] {
            let (found, first) = parts(&Query::new(query).unwrap());
            assert_eq!(found, whole, "{query}");
            assert_eq!(first.as_deref(), beginning, "{query}");
        }
    }
}
