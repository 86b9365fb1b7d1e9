//! Reading a room's log: its head, and its events in order.

use protocol::{Epoch, MessageId, RoomId, UserId};

use super::{Backend, MessageStore, Page, StoredAttachment, StoredMessage, on_backend};
use crate::StoreError;

/// How far a room's log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the last event; 0 in a new room.
    pub seq: u64,
    /// The epoch of the log; a new one after a restore from a backup.
    pub epoch: Epoch,
}

/// An entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The room.
    pub room_id: RoomId,
    /// Its position in the room's log.
    pub seq: u64,
    /// What happened.
    pub body: EventBody,
}

/// The body of an entry of a room's log. Messages are in their present state, not as they were then: a deletion leaves
/// no text behind, and every reader of the log up to its head ends in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// A message was sent.
    Sent(StoredMessage),
    /// The text of a message was changed.
    Edited {
        /// The `seq` of the message.
        of: u64,
        /// The message.
        message: StoredMessage,
    },
    /// What is attached to a message was processed. Once that is deleted, a [`EventBody::Tombstone`] is in this one's place.
    Processed {
        /// The `seq` of the message.
        of: u64,
        /// The message.
        message_id: MessageId,
        /// The attachment.
        attachment: StoredAttachment,
    },
    /// A message was deleted.
    Deleted {
        /// The `seq` of the message.
        of: u64,
    },
    /// A reaction was added to a message or removed.
    Reacted {
        /// The `seq` of the message.
        of: u64,
        /// The emoji.
        emoji: String,
        /// The user whose reaction it is.
        user_id: UserId,
        /// Added (`true`) or removed.
        on: bool,
    },
    /// The writer that had reserved this `seq` never wrote it, or what it was about is gone (`room:void` on the wire).
    Tombstone,
}

impl EventBody {
    /// What became of an attachment, from its message's present state.
    pub(super) fn processed(of: u64, message: StoredMessage, attachment: &str) -> Self {
        let mut attachments = message.attachments.into_iter();
        match attachments.find(|known| known.id.as_str() == attachment) {
            Some(attachment) => Self::Processed {
                of,
                message_id: message.id,
                attachment,
            },
            None => Self::Tombstone,
        }
    }
}

impl MessageStore {
    /// How far a room's log goes. `NotFound` if there is no such room.
    pub async fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        on_backend!(self, Read: heads.head(room))
    }

    /// The first `limit` events with a `seq` above `after` and not above `up_to`, ascending, or as many as hold
    /// [`PAGE_BYTES_MAX`](protocol::limits::PAGE_BYTES_MAX) of text, at least one: no more than that is read. Reactions are marked as
    /// `viewer` sees them. Membership isn't checked. `NotFound` if there is no such room or viewer.
    pub async fn events(
        &self,
        room: &RoomId,
        after: u64,
        up_to: u64,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredEvent>, StoreError> {
        on_backend!(self, History: events.events(room, after, up_to, limit, viewer))
    }

    /// Rooms of these partitions that were written to in the last ten seconds, each with the last `seq` that was
    /// reserved, which may not be written yet: an instance that serves such a room and is behind reads its log. Empty for
    /// the embedded store, whose only writer is this process.
    pub async fn recently_written(
        &self,
        partitions: &[u16],
    ) -> Result<Vec<(RoomId, u64)>, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(Vec::new()),
            Backend::Mongodb(store) => store.parts.writer.recently_written(partitions).await,
        }
    }
}
