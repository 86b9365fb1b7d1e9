//! Reading a room's log: its head, and its events in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::doc;
use mongodb::options::Hint;
use protocol::{RoomId, UserId};
use redis_client::RedisClient;
use serde::Deserialize;

use super::super::message::full_spelling;
use super::super::{Head, Occurrence, Page, StoredEvent, StoredMessage};
use super::MongoStore;
use super::collections::{all, first, log_order};
use super::counts::Counts;
use super::documents::{EntryDocument, Kind, at_places, stored_seq};
use super::failure::Outcome;
use super::holes::Holes;
use super::lanes::{Lanes, Unstarted};
use super::sequencer::Sequencer;
use super::visible_head::{Heads, RoomHead, after, contiguous};
use super::word_index::WordIndex;
use crate::StoreError;

/// Rooms that are asked about at once.
const AT_ONCE: usize = 16;

/// What an instance holds of the logs.
pub(super) struct Logs {
    pub lanes: Lanes,
    pub sequencer: Sequencer,
    pub heads: Heads,
    pub holes: Holes,
    pub words: WordIndex,
    pub counts: Arc<Counts>,
}

impl Logs {
    /// With lanes that are still to be started.
    pub(super) fn new(
        redis: RedisClient,
        key_prefix: String,
        is_replica_set: bool,
    ) -> (Self, Unstarted) {
        let counts = Arc::<Counts>::default();
        let (lanes, unstarted) = Lanes::new(is_replica_set, Arc::clone(&counts));
        let logs = Self {
            lanes,
            sequencer: Sequencer::new(redis, key_prefix),
            heads: Heads::default(),
            holes: Holes::default(),
            words: WordIndex::default(),
            counts,
        };
        (logs, unstarted)
    }
}

impl MongoStore {
    pub async fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        let head = self.room_head(room).await?;
        Ok(Head {
            seq: self.visible(room, &head).await?,
            epoch: head.epoch.clone(),
        })
    }

    /// The visible heads of rooms that exist, in their order.
    pub(super) async fn heads(&self, rooms: &[RoomId]) -> Outcome<Vec<u64>> {
        let mut reading = Vec::with_capacity(rooms.len());
        for room in rooms {
            reading.push(self.visible_of(room));
        }
        stream::iter(reading).buffered(AT_ONCE).try_collect().await
    }

    async fn visible_of(&self, room: &RoomId) -> Outcome<u64> {
        let head = self.room_head(room).await?;
        self.visible(room, &head).await
    }

    pub async fn events(
        &self,
        room: &RoomId,
        after: u64,
        up_to: u64,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let head = self.room_head(room).await?;
        self.must_be_viewer(viewer).await?;
        let entries = self
            .visible_entries(room, &head, after, up_to, limit)
            .await?;
        let edited = self.edited_bytes(room, &entries).await?;
        let page = Page::of(entries, limit, |entry| match (entry.kind, entry.of) {
            (Kind::Edited, Some(of)) => edited.get(&of).copied().unwrap_or(0),
            _ => entry.body_bytes(),
        });
        Ok(Page {
            items: self.told(room, page.items, viewer).await?,
            has_more: page.has_more,
        })
    }

    /// The first entries behind a place, one more than a page holds, as far as they can be seen.
    async fn visible_entries(
        &self,
        room: &RoomId,
        head: &RoomHead,
        from: u64,
        up_to: u64,
        limit: u32,
    ) -> Outcome<Vec<EntryDocument>> {
        let mut visible = self.known(room, head).await?;
        if from > visible {
            // Nothing is known of what lies between.
            visible = self.visible(room, head).await?;
        }
        if from > visible || from >= up_to {
            return Ok(Vec::new());
        }
        let mut filter = after(room, from);
        if let Ok(seq) = filter.get_document_mut("seq") {
            seq.insert("$lte", stored_seq(up_to));
        }
        let find = self
            .collections()
            .await?
            .room_log
            .find(filter)
            .sort(doc! { "seq": 1 })
            .hint(Hint::Keys(log_order()));
        let mut entries = first(find, limit, EntryDocument::body_bytes).await?;
        // Below the visible head nothing is missing but what was trimmed.
        let above = entries
            .iter()
            .map(EntryDocument::seq)
            .filter(|seq| *seq > visible);
        let reached = contiguous(visible, above);
        self.seen(room, head, reached);
        let found = entries.len();
        entries.retain(|entry| entry.seq() <= reached);
        if entries.len() < found {
            self.shared.logs.holes.watch(room);
        }
        Ok(entries)
    }

    /// Bytes of the texts that entries about edited messages carry, by the `seq` of the message.
    async fn edited_bytes(
        &self,
        room: &RoomId,
        entries: &[EntryDocument],
    ) -> Outcome<HashMap<i64, usize>> {
        #[derive(Deserialize)]
        struct Length {
            seq: i64,
            bytes: i64,
        }
        let mut lengths: HashMap<i64, usize> = entries
            .iter()
            .filter(|entry| entry.kind == Kind::Message)
            .map(|entry| (entry.seq, entry.body_bytes()))
            .collect();
        let elsewhere = edited(entries, |of| !lengths.contains_key(&of));
        if !elsewhere.is_empty() {
            let log = self
                .collections()
                .await?
                .room_log
                .clone_with_type::<Length>();
            let bytes = doc! { "$strLenBytes": { "$ifNull": ["$body", ""] } };
            let find = log
                .find(at_places(room, elsewhere))
                .projection(doc! { "_id": 0, "seq": 1, "bytes": bytes });
            let found = all(find).await?.into_iter();
            lengths.extend(
                found.map(|Length { seq, bytes }| {
                    (seq, usize::try_from(bytes).unwrap_or(usize::MAX))
                }),
            );
        }
        Ok(lengths)
    }

    /// Entries of a log as events, with the messages that they carry.
    async fn told(
        &self,
        room: &RoomId,
        entries: Vec<EntryDocument>,
        viewer: Option<&UserId>,
    ) -> Outcome<Vec<StoredEvent>> {
        let here: HashSet<i64> = entries.iter().map(|entry| entry.seq).collect();
        let edited = edited(&entries, |of| !here.contains(&of));
        let mut carried: Vec<EntryDocument> = match edited.is_empty() {
            true => Vec::new(),
            false => self.entries_at(room, edited).await?,
        };
        carried.extend(
            entries
                .iter()
                .filter(|entry| entry.kind == Kind::Message)
                .cloned(),
        );
        let messages = self.shown(room, carried, viewer).await?;
        let messages: HashMap<u64, StoredMessage> = messages
            .into_iter()
            .map(|message| (message.seq, message))
            .collect();
        let told = entries.into_iter().map(|entry| event(entry, &messages));
        told.collect()
    }

    pub async fn recently_written(
        &self,
        partitions: &[u16],
    ) -> Result<Vec<(RoomId, u64)>, StoreError> {
        let (mut rooms, degraded) = tokio::join!(
            self.shared.logs.sequencer.recent(partitions),
            self.degraded(partitions)
        );
        rooms.extend(degraded?);
        Ok(rooms)
    }

    /// `NotFound` if who looks is a user who doesn't exist.
    pub(super) async fn must_be_viewer(&self, viewer: Option<&UserId>) -> Outcome<()> {
        match viewer {
            Some(viewer) => self.must_be_user(viewer).await,
            None => Ok(()),
        }
    }
}

/// Which messages entries say to be edited, of those that are asked for.
fn edited(entries: &[EntryDocument], wanted: impl Fn(i64) -> bool) -> Vec<u64> {
    let mut edited: Vec<u64> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Edited)
        .filter_map(|entry| entry.of)
        .filter(|of| wanted(*of))
        .map(i64::unsigned_abs)
        .collect();
    edited.sort_unstable();
    edited.dedup();
    edited
}

fn event(entry: EntryDocument, messages: &HashMap<u64, StoredMessage>) -> Outcome<StoredEvent> {
    let incomplete = || StoreError::internal("an entry of a log isn't whole");
    let seq = entry.seq();
    let of = || entry.of.map(i64::unsigned_abs).ok_or_else(incomplete);
    let carried = |seq| messages.get(&seq).cloned().ok_or_else(incomplete);
    let occurrence = match entry.kind {
        Kind::Message => Occurrence::Sent(carried(seq)?),
        Kind::Edited => Occurrence::Edited {
            of: of()?,
            message: carried(of()?)?,
        },
        Kind::Deleted => Occurrence::Deleted { of: of()? },
        Kind::Reacted | Kind::Unreacted => Occurrence::Reacted {
            of: of()?,
            on: entry.kind == Kind::Reacted,
            emoji: full_spelling(entry.emoji.ok_or_else(incomplete)?),
            user_id: entry.actor_id.ok_or_else(incomplete)?,
        },
        Kind::Void => Occurrence::Void,
    };
    Ok(StoredEvent {
        room_id: entry.room_id,
        seq,
        occurrence,
    })
}
