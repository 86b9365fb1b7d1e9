//! A room's messages in their present state, page by page.

use protocol::{RoomId, UserId};

use super::{MessageStore, Page, StoredMessage, on_backend};
use crate::StoreError;

impl MessageStore {
    /// A page of messages, ascending. With `after` it is the first `limit` behind it, otherwise
    /// the last `limit`; with `before`, only messages before it. No more than
    /// [`PAGE_BYTES_MAX`](protocol::limits::PAGE_BYTES_MAX) of text is read beside one message.
    /// `has_more` speaks of the direction that was asked for. Membership isn't checked. `NotFound` if there is no such
    /// room.
    pub async fn history(
        &self,
        room: &RoomId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        on_backend!(self, History: history.history(room, before, after, limit, viewer))
    }

    /// The message that a user sent under an idempotency key, if there is one. `NotFound` if there is no such room.
    pub async fn message_of_client(
        &self,
        room: &RoomId,
        sender: &UserId,
        client_id: &str,
    ) -> Result<Option<StoredMessage>, StoreError> {
        on_backend!(self, Read: history.message_of_client(room, sender, client_id))
    }

    /// One message. `NotFound` if the room has no message of this `seq`. Membership isn't checked.
    pub async fn message(
        &self,
        room: &RoomId,
        seq: u64,
        viewer: Option<&UserId>,
    ) -> Result<StoredMessage, StoreError> {
        on_backend!(self, History: history.message(room, seq, viewer))
    }
}
