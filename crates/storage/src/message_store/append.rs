//! Writing to a room's log. Each new entry takes the next `seq` in the transaction that also
//! changes the message's present state, so the log and the messages never disagree.
//!
//! The steps of one append are counted: a message takes one look-up and one insert, plus its part
//! of the search index at the end of the group.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use protocol::{AttachmentId, RoomId, UserId};

use super::message::full_spelling;
use super::{Backend, MessageStore, Operation, StoredAttachment, StoredEvent};
use crate::StoreError;

/// Something to be written to a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The room.
    pub room_id: RoomId,
    /// The user who does it; must be a member.
    pub actor: UserId,
    /// What is done.
    pub change: Change,
}

impl NewEntry {
    /// About how many bytes it holds in memory while it waits.
    pub fn bytes(&self) -> usize {
        /// In addition to its text.
        const OVERHEAD: usize = 512;
        OVERHEAD
            + match &self.change {
                Change::Send {
                    body, attachments, ..
                } => {
                    let attachments = attachments.iter().map(StoredAttachment::bytes);
                    body.len() + attachments.sum::<usize>()
                }
                Change::Edit { body, .. } => body.len(),
                Change::Process { attachment, .. } => attachment.bytes(),
                Change::Delete { .. } | Change::React { .. } => 0,
            }
    }
}

/// A change to a room's log.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// A message is sent.
    Send {
        /// The idempotency key: a second message of the same sender and `clientId` in a room is the first one, sent
        /// again.
        client_id: Option<String>,
        /// The text.
        body: String,
        /// The `seq` of a message of the room that it answers.
        reply_to: Option<u64>,
        /// The users who are mentioned. Those with a block between them and the sender are removed; otherwise they
        /// aren't checked.
        mentions: Vec<UserId>,
        /// What is attached.
        attachments: Vec<StoredAttachment>,
    },
    /// The sender changes the text of a message.
    Edit {
        /// The `seq` of the message.
        of: u64,
        /// The text from now on.
        body: String,
    },
    /// What is attached to a message was processed. The actor is the message's sender, who needn't be a member any more.
    Process {
        /// The `seq` of the message.
        of: u64,
        /// What became of it; one of the message's attachments that was being processed is replaced by it.
        attachment: Box<StoredAttachment>,
    },
    /// A message is deleted: its text, attachments and reactions are removed, its `seq` stays.
    Delete {
        /// The `seq` of the message.
        of: u64,
        /// True if the actor may delete the messages of others.
        moderator: bool,
    },
    /// A reaction is added to a message or removed.
    React {
        /// The `seq` of the message.
        of: u64,
        /// The emoji; all its spellings count as one.
        emoji: String,
        /// Added (`true`) or removed.
        on: bool,
    },
}

/// Without the text, which must not reach a log.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { .. } => f.write_str("Send"),
            Self::Edit { of, .. } => write!(f, "Edit({of})"),
            Self::Process { of, .. } => write!(f, "Process({of})"),
            Self::Delete { of, .. } => write!(f, "Delete({of})"),
            Self::React { of, on, .. } => write!(f, "React({of}, {on})"),
        }
    }
}

/// What became of a [`NewEntry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event; reactions in it are those that the actor sees.
    pub event: StoredEvent,
    /// True if an entry was added to the log. If not, `event` is the earlier one that had the same effect:
    /// the message of that `clientId`, the deletion, the reaction. Removing a reaction that was never added returns
    /// the `seq` of the message.
    pub recorded: bool,
    /// What was attached to a message that this has deleted. After a failure it may be missing here though it's gone.
    pub removed: Vec<AttachmentId>,
}

impl MessageStore {
    /// Writes to a room's log and calls `done` once that is durable. `done` runs on the thread or
    /// task that writes, for each room in the order of `seq`; it must not block. If the queue is
    /// full or the store closed, it runs before this returns.
    ///
    /// Errors: `NotFound` unless the actor is a member (but see [`Change::Process`]) and, but for a new message, the message
    /// or the attachment exists; `Forbidden` for changing another's message, and in a direct room where one has
    /// blocked the other; `Conflict` for a `replyTo` that isn't a message
    /// of the room; `Conflict` for changing a deleted message and for too many different emoji;
    /// `Unavailable` if it isn't known to be durable.
    pub fn append(
        &self,
        mut entry: NewEntry,
        done: impl FnOnce(Result<Appended, StoreError>) + Send + 'static,
    ) {
        if let Change::React { emoji, .. } = &mut entry.change {
            *emoji = full_spelling(std::mem::take(emoji));
        }
        let operation = match entry.change {
            Change::Send { .. } => Operation::Append,
            Change::Edit { .. }
            | Change::Process { .. }
            | Change::Delete { .. }
            | Change::React { .. } => Operation::Change,
        };
        let (operations, began) = (Arc::clone(&self.operations), Instant::now());
        let done = move |result| {
            operations.ended(operation, began, &result);
            done(result);
        };
        match &self.backend {
            Backend::Sqlite(store) => store.append(entry, done),
            Backend::Mongodb(store) => store.parts.writer.append(entry, done),
        }
    }
}
