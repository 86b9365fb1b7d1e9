//! A room's messages in their present state, page by page.

use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use protocol::{RoomId, UserId};

use super::super::{Page, StoredMessage};
use super::MongoStore;
use super::collections::{first, log_order};
use super::documents::{EntryDocument, Kind, entry_key, stored_seq};
use super::failure::{Outcome, bounded};
use super::visible_head::RoomHead;
use crate::StoreError;

impl MongoStore {
    pub async fn history(
        &self,
        room: &RoomId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        let head = self.room_head(room).await?;
        self.must_be_viewer(viewer).await?;
        let end = self.end_of_history(room, &head, before).await?;
        let direction = if after.is_some() { 1 } else { -1 };
        let find = self
            .collections()
            .await?
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
            items: self.shown(room, page.items, viewer).await?,
            has_more: page.has_more,
        })
    }

    /// The place before which a page of history ends: what can't be seen yet isn't shown.
    async fn end_of_history(
        &self,
        room: &RoomId,
        head: &RoomHead,
        before: Option<u64>,
    ) -> Outcome<u64> {
        let seen = head.known().map_or(0, |seq| seq + 1);
        match before {
            Some(before) if before <= seen => Ok(before),
            _ => {
                let end = self.visible(room, head).await? + 1;
                Ok(before.map_or(end, |before| before.min(end)))
            }
        }
    }

    pub async fn message(
        &self,
        room: &RoomId,
        seq: u64,
        viewer: Option<&UserId>,
    ) -> Result<StoredMessage, StoreError> {
        let head = self.room_head(room).await?;
        self.must_be_viewer(viewer).await?;
        if head.known().is_none_or(|known| seq > known) && self.visible(room, &head).await? < seq {
            return Err(StoreError::NotFound);
        }
        let filter = doc! { "_id": entry_key(room, seq), "roomId": room.as_str() };
        let found = bounded(self.collections().await?.room_log.find_one(filter)).await?;
        let message = found.filter(|entry| entry.kind == Kind::Message);
        let message = message.ok_or(StoreError::NotFound)?;
        let shown = self.shown(room, vec![message], viewer).await?.pop();
        shown.ok_or(StoreError::NotFound)
    }
}

/// The messages of a room behind one place and before another, as a filter. That they have a sender is seen in the index.
pub(super) fn messages_between(room: &RoomId, after: u64, before: u64) -> Document {
    doc! {
        "roomId": room.as_str(),
        "seq": { "$gt": stored_seq(after), "$lt": stored_seq(before) },
        "senderId": { "$gt": "" },
    }
}
