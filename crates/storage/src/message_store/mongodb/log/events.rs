//! Reading a room's events in order.

use std::collections::{HashMap, HashSet};

use mongodb::bson::doc;
use mongodb::options::Hint;
use protocol::{RoomId, UserId};
use serde::Deserialize;

use super::super::super::message::full_spelling;
use super::super::super::{EventBody, Page, StoredEvent, StoredMessage};
use super::super::cached::People;
use super::super::collections::log_order;
use super::super::database::Database;
use super::super::documents::{EntryDocument, Kind, at_seqs, stored_seq};
use super::super::failure::Outcome;
use super::super::query::{all, first};
use super::entries::after;
use super::room_head::contiguous;
use super::{Entries, Messages, RoomHead, VisibleHeads};
use crate::StoreError;

/// Reads events.
pub struct Events {
    pub database: Database,
    pub people: People,
    pub entries: Entries,
    pub heads: VisibleHeads,
    pub messages: Messages,
}

impl Events {
    pub async fn events(
        &self,
        room: &RoomId,
        after: u64,
        up_to: u64,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let head = self.heads.of(room).await?;
        self.people.require_viewer(viewer).await?;
        let entries = self
            .visible_entries(room, &head, after, up_to, limit)
            .await?;
        let edited = self.edited_bytes(room, &entries).await?;
        let page = Page::of(entries, limit, |entry| match (entry.kind, entry.of) {
            (Kind::Edited | Kind::Processed, Some(of)) => edited.get(&of).copied().unwrap_or(0),
            _ => entry.body_bytes(),
        });
        Ok(Page {
            items: self.complete(room, page.items, viewer).await?,
            has_more: page.has_more,
        })
    }

    /// The first visible entries behind a `seq`, one more than a page holds.
    async fn visible_entries(
        &self,
        room: &RoomId,
        head: &RoomHead,
        from: u64,
        up_to: u64,
        limit: u32,
    ) -> Outcome<Vec<EntryDocument>> {
        let mut visible = self.heads.known(room, head).await?;
        if from > visible {
            // Nothing is known of what lies between.
            visible = self.heads.read(room, head).await?;
        }
        if from > visible || from >= up_to {
            return Ok(Vec::new());
        }
        let mut filter = after(room, from);
        if let Ok(seq) = filter.get_document_mut("seq") {
            seq.insert("$lte", stored_seq(up_to));
        }
        let collections = self.database.collections().await?;
        let find = collections
            .room_log
            .find(filter)
            .sort(doc! { "seq": 1 })
            .hint(Hint::Keys(log_order()));
        let mut entries = first(find, limit, EntryDocument::body_bytes).await?;
        // Below the visible head only what was trimmed is missing.
        let above = entries
            .iter()
            .map(EntryDocument::seq)
            .filter(|seq| *seq > visible);
        let reached = contiguous(visible, above);
        self.heads.seen_to(room, head, reached);
        let found = entries.len();
        entries.retain(|entry| entry.seq() <= reached);
        if entries.len() < found {
            self.heads.has_gap(room);
        }
        Ok(entries)
    }

    /// The lengths in bytes of the messages that entries about edits carry, by the `seq` of the message.
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
            let collections = self.database.collections().await?;
            let log = collections.room_log.clone_with_type::<Length>();
            let length = |field| doc! { "$strLenBytes": { "$ifNull": [field, ""] } };
            let bytes = doc! { "$add": [length("$body"), length("$attachments")] };
            let find = log
                .find(at_seqs(room, elsewhere))
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

    /// Entries as events, with the messages that they carry.
    async fn complete(
        &self,
        room: &RoomId,
        entries: Vec<EntryDocument>,
        viewer: Option<&UserId>,
    ) -> Outcome<Vec<StoredEvent>> {
        let here: HashSet<i64> = entries.iter().map(|entry| entry.seq).collect();
        let edited = edited(&entries, |of| !here.contains(&of));
        let mut carried: Vec<EntryDocument> = match edited.is_empty() {
            true => Vec::new(),
            false => self.entries.at(room, edited).await?,
        };
        carried.extend(
            entries
                .iter()
                .filter(|entry| entry.kind == Kind::Message)
                .cloned(),
        );
        let messages = self.messages.as_seen_by(room, carried, viewer).await?;
        let messages: HashMap<u64, StoredMessage> = messages
            .into_iter()
            .map(|message| (message.seq, message))
            .collect();
        let events = entries.into_iter().map(|entry| event(entry, &messages));
        events.collect()
    }
}

/// The messages that entries are edits of, or whose attachments they are about, as far as they are wanted.
fn edited(entries: &[EntryDocument], wanted: impl Fn(i64) -> bool) -> Vec<u64> {
    let mut edited: Vec<u64> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Edited | Kind::Processed))
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
    let body = match entry.kind {
        Kind::Message => EventBody::Sent(carried(seq)?),
        Kind::Edited => EventBody::Edited {
            of: of()?,
            message: carried(of()?)?,
        },
        Kind::Processed => {
            let attachment = entry.attachment.ok_or_else(incomplete)?;
            EventBody::processed(of()?, carried(of()?)?, attachment.as_str())
        }
        Kind::Deleted => EventBody::Deleted { of: of()? },
        Kind::Reacted | Kind::Unreacted => EventBody::Reacted {
            of: of()?,
            on: entry.kind == Kind::Reacted,
            emoji: full_spelling(entry.emoji.ok_or_else(incomplete)?),
            user_id: entry.actor_id.ok_or_else(incomplete)?,
        },
        Kind::Void => EventBody::Tombstone,
    };
    Ok(StoredEvent {
        room_id: entry.room_id,
        seq,
        body,
    })
}
