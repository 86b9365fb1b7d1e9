//! A room's messages in their present state, page by page.

use mongodb::bson::doc;
use mongodb::options::Hint;
use protocol::{RoomId, UserId};

use super::super::super::{Page, StoredMessage};
use super::super::cached::People;
use super::super::collections::log_order;
use super::super::database::Database;
use super::super::documents::{EntryDocument, Kind, entry_key};
use super::super::failure::{Outcome, bounded};
use super::super::query::first;
use super::entries::{IdempotencyKey, messages_between};
use super::{Entries, Messages, RoomHead, VisibleHeads};
use crate::StoreError;

/// Reads messages.
pub struct History {
    pub database: Database,
    pub people: People,
    pub entries: Entries,
    pub heads: VisibleHeads,
    pub messages: Messages,
}

impl History {
    pub async fn history(
        &self,
        room: &RoomId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        let head = self.heads.of(room).await?;
        self.people.require_viewer(viewer).await?;
        let end = self.end_of_history(room, &head, before).await?;
        let direction = if after.is_some() { 1 } else { -1 };
        let collections = self.database.collections().await?;
        let find = collections
            .room_log
            .find(messages_between(room, after.unwrap_or(0), end))
            .sort(doc! { "seq": direction })
            .hint(Hint::Keys(log_order()));
        let found = first(find, limit, EntryDocument::body_bytes).await?;
        let mut page = Page::of(found, limit, EntryDocument::body_bytes);
        if after.is_none() {
            page.items.reverse();
        }
        Ok(Page {
            items: self.messages.as_seen_by(room, page.items, viewer).await?,
            has_more: page.has_more,
        })
    }

    /// The `seq` before which a page of history ends: what isn't visible yet isn't shown.
    async fn end_of_history(
        &self,
        room: &RoomId,
        head: &RoomHead,
        before: Option<u64>,
    ) -> Outcome<u64> {
        let visible = head.known().map_or(0, |seq| seq + 1);
        match before {
            Some(before) if before <= visible => Ok(before),
            _ => {
                let end = self.heads.read(room, head).await? + 1;
                Ok(before.map_or(end, |before| before.min(end)))
            }
        }
    }

    pub async fn message_of_client(
        &self,
        room: &RoomId,
        sender: &UserId,
        client_id: &str,
    ) -> Result<Option<StoredMessage>, StoreError> {
        self.heads.of(room).await?;
        let key = IdempotencyKey {
            sender: sender.clone(),
            client_id: client_id.to_owned(),
        };
        let found = self.entries.with_keys(room, &[key]).await?;
        Ok(self.messages.as_seen_by(room, found, None).await?.pop())
    }

    pub async fn message(
        &self,
        room: &RoomId,
        seq: u64,
        viewer: Option<&UserId>,
    ) -> Result<StoredMessage, StoreError> {
        let head = self.heads.of(room).await?;
        self.people.require_viewer(viewer).await?;
        if head.known().is_none_or(|known| seq > known) && self.heads.read(room, &head).await? < seq
        {
            return Err(StoreError::NotFound);
        }
        let filter = doc! { "_id": entry_key(room, seq), "roomId": room.as_str() };
        let found = bounded(self.database.collections().await?.room_log.find_one(filter)).await?;
        let message = found.filter(|entry| entry.kind == Kind::Message);
        let message = message.ok_or(StoreError::NotFound)?;
        let shown = self
            .messages
            .as_seen_by(room, vec![message], viewer)
            .await?
            .pop();
        shown.ok_or(StoreError::NotFound)
    }
}
