//! What of messages is in the word index, and which blocks of a log it is divided into. Pure; the blocks are written in
//! `word_index.rs`.

use std::collections::{BTreeSet, HashSet};

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use protocol::RoomId;
use text::{Query, Token};

use super::super::documents::stored_seq;

/// Entries of a block. Larger makes fewer index entries a message, and searches read more messages for each block that
/// has the words: this many take some milliseconds.
pub const BLOCK: u64 = 1_024;

/// Different words of a block that are indexed; in scripts without spaces, every letter and every two in a row. A block
/// with more is read for every search.
pub const WORDS: usize = 40_000;

/// Stands for the words of such a block. No word is like it.
pub const ANY: &str = "*";

/// Parts of a query that are looked up in the blocks; the messages of what these leave are compared with all of it.
const PARTS: usize = 16;

/// Rooms and blocks that wait to be indexed, at most. What is dropped is found by the next search in the room.
const DUE: usize = 10_000;

/// The number of the block that holds a `seq`.
pub fn block_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BLOCK
}

/// The last `seq` of a block.
pub fn end_of(block: u64) -> u64 {
    (block + 1) * BLOCK
}

/// What is to be indexed.
#[derive(Default)]
pub struct DueBlocks {
    /// Rooms whose logs have gone past a block.
    rooms: Mutex<HashSet<RoomId>>,
    /// Blocks in which a message was edited or deleted.
    stale: Mutex<HashSet<(RoomId, u64)>>,
}

impl DueBlocks {
    /// The visible head of a room has moved.
    pub fn moved(&self, room: &RoomId, before: u64, now: u64) {
        if before / BLOCK != now / BLOCK {
            self.extend(room);
        }
    }

    /// A room may have blocks that aren't indexed.
    pub fn extend(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock();
        if rooms.len() < DUE {
            rooms.insert(room.clone());
        }
    }

    /// A message of a block has changed.
    pub fn renew(&self, room: &RoomId, block: u64) {
        let mut stale = self.stale.lock();
        if stale.len() < DUE {
            stale.insert((room.clone(), block));
        }
    }

    pub fn take_rooms(&self) -> HashSet<RoomId> {
        std::mem::take(&mut self.rooms.lock())
    }

    pub fn take_stale(&self) -> HashSet<(RoomId, u64)> {
        std::mem::take(&mut self.stale.lock())
    }
}

/// What of a message is indexed: its words, the letters that are words by themselves, and every two of these in a row.
pub fn words(tokens: &[Token]) -> BTreeSet<String> {
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

/// The words that a block must hold to match a query, and the beginning of a word that it must hold.
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

/// The same as conditions of a filter.
pub fn having(query: &Query) -> Vec<Document> {
    let (words, beginning) = parts(query);
    let words = words.into_iter().map(|word| doc! { "words": word });
    let beginning = beginning.map(|first| {
        let end = format!("{first}{}", char::MAX);
        doc! { "words": { "$elemMatch": { "$gte": first, "$lt": end } } }
    });
    words.chain(beginning).collect()
}

/// A block as a filter.
pub fn key(room: &RoomId, block: u64) -> Document {
    doc! {
        "_id": { "r": room.as_str(), "b": stored_seq(block) },
        "roomId": room.as_str(),
    }
}

/// The update of a message's block that belongs to the transaction of an edit or a deletion, whose entry is `seq`. None if
/// the block can't have been written yet, because that entry lies in it.
pub fn touch(room: &RoomId, of: u64, seq: u64, body: &str) -> Option<Document> {
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
