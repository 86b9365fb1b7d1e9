//! Full-text search in the messages of a room. The index holds words, no texts; it changes at the
//! end of the transaction that changes the messages (see `Transaction::before_commit`).

use protocol::{RoomId, UserId};

use super::{MessageStore, Page, StoredMessage, on_backend};
use crate::StoreError;

impl MessageStore {
    /// The newest messages of a room, before `before` if it's given, that hold every word of `query`, the newest first:
    /// at most `limit`, and no more than [`PAGE_BYTES_MAX`](protocol::limits::PAGE_BYTES_MAX) of text. The last
    /// word may be the beginning of one. Case and accents don't matter, and nothing in a query is
    /// syntax. Deleted messages aren't found. Membership isn't checked. `NotFound` if there is no
    /// such room.
    pub async fn search(
        &self,
        room: &RoomId,
        query: &str,
        before: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        on_backend!(self, Search: search.search(room, query, before, limit, viewer))
    }
}
