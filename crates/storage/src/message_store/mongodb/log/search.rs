//! Full-text search in the messages of a room: the newest first, so it goes through the log backwards. What was written
//! lately is read as a whole; of what is older, only the blocks that hold the words (see `word_index.rs`).

use std::sync::Arc;

use mongodb::bson::doc;
use mongodb::options::Hint;
use protocol::{RoomId, UserId};
use serde::Deserialize;
use text::Query;

use super::super::super::{Page, StoredMessage};
use super::super::cached::People;
use super::super::collections::log_order;
use super::super::database::Database;
use super::super::failure::Outcome;
use super::super::query::{SEARCH_TIME, all};
use super::entries::messages_between;
use super::words::{BLOCK, block_of};
use super::{Entries, Messages, VisibleHeads, WordIndex};
use crate::StoreError;

/// Blocks that one search looks through at most, those that aren't written yet among them. Only words that are never
/// in the same message need so many, and then somebody waits a second.
const LOOKED_THROUGH: u32 = 256;

/// A message with what is searched for.
struct Hit {
    seq: u64,
    /// Bytes of its text.
    bytes: usize,
}

/// Searches messages.
pub struct Search {
    pub database: Database,
    pub people: People,
    pub entries: Entries,
    pub heads: VisibleHeads,
    pub messages: Messages,
    pub index: Arc<WordIndex>,
}

impl Search {
    pub async fn search(
        &self,
        room: &RoomId,
        query: &str,
        before: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        let head = self.heads.of(room).await?;
        self.people.require_viewer(viewer).await?;
        let nothing = Page {
            items: Vec::new(),
            has_more: false,
        };
        let Some(query) = Query::new(query) else {
            return Ok(nothing);
        };
        let mut end = self.heads.read(room, &head).await?;
        if let Some(before) = before {
            end = end.min(before.saturating_sub(1));
        }
        let find = self.find(room, &query, end, limit);
        let found = tokio::time::timeout(SEARCH_TIME, find).await;
        let took_too_long = |_| StoreError::unavailable("the search took too long");
        let (found, all) = found.map_err(took_too_long)??;
        let page = Page::of(found, limit, |hit| hit.bytes);
        let seqs = page.items.iter().map(|hit| hit.seq).collect();
        let mut entries = self.entries.at(room, seqs).await?;
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.seq));
        Ok(Page {
            items: self.messages.as_seen_by(room, entries, viewer).await?,
            has_more: page.has_more || !all,
        })
    }

    /// The newest messages up to a `seq` with what is searched for, one more than `limit` if there are so many, and
    /// whether these are all within the bounds of a search.
    async fn find(
        &self,
        room: &RoomId,
        query: &Query,
        up_to: u64,
        limit: u32,
    ) -> Outcome<(Vec<Hit>, bool)> {
        let wanted = limit as usize + 1;
        let mut found = Vec::new();
        let mut left = LOOKED_THROUGH;
        let complete = self.index.complete_blocks(room).await?;
        let mut blocks: Vec<u64> = (complete..=block_of(up_to.max(1))).rev().collect();
        if blocks.len() > 2 {
            // Whoever should have written them has forgotten it, or is about to.
            self.index.is_behind(room);
        }
        let mut before = complete.min(block_of(up_to.max(1)) + 1);
        loop {
            for &block in &blocks {
                if left == 0 {
                    return Ok((found, false));
                }
                left -= 1;
                found.extend(self.find_in_block(room, query, block, up_to).await?);
                if found.len() >= wanted {
                    return Ok((found, true));
                }
            }
            if before == 0 {
                return Ok((found, true));
            }
            blocks = self.index.blocks_with(room, query, before).await?;
            before = match blocks.last() {
                Some(&last) => last,
                None => return Ok((found, true)),
            };
        }
    }

    /// The messages of a block that have what is searched for, the last first.
    async fn find_in_block(
        &self,
        room: &RoomId,
        query: &Query,
        block: u64,
        up_to: u64,
    ) -> Outcome<Vec<Hit>> {
        #[derive(Deserialize)]
        struct Text {
            seq: i64,
            #[serde(default)]
            body: String,
        }
        let end = (block + 1).saturating_mul(BLOCK).min(up_to);
        let log = self
            .database
            .collections()
            .await?
            .room_log
            .clone_with_type::<Text>();
        let find = log
            .find(messages_between(room, block * BLOCK, end + 1))
            .sort(doc! { "seq": -1 })
            .projection(doc! { "_id": 0, "seq": 1, "body": 1 })
            .hint(Hint::Keys(log_order()))
            .max_time(SEARCH_TIME);
        let texts = all(find).await?.into_iter();
        let hits = texts.filter(|text| query.matches(&text.body));
        let hits = hits.map(|text| Hit {
            seq: text.seq.unsigned_abs(),
            bytes: text.body.len(),
        });
        Ok(hits.collect())
    }
}
