//! Messages in their present state, as every reader and every append returns them.

use std::fmt;

use protocol::{MessageId, Reaction, RoomId, Sender, Timestamp, UserId};

use super::StoredAttachment;

/// A message in its present state.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Unique in the whole system.
    pub id: MessageId,
    /// The room.
    pub room_id: RoomId,
    /// Its position in the room's log.
    pub seq: u64,
    /// Its sender, by the present name.
    pub sender: Sender,
    /// The text; empty once deleted.
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
    /// The sender's idempotency key; not to be shown to others.
    pub client_id: Option<String>,
    /// The `seq` of the message it answers.
    pub reply_to: Option<u64>,
    /// The users who are mentioned; empty once deleted.
    pub mentions: Vec<UserId>,
    /// What is attached; empty once deleted.
    pub attachments: Vec<StoredAttachment>,
    /// When the text was last changed.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Its reactions by emoji, the one first added first; empty once deleted.
    pub reactions: Vec<Reaction>,
}

impl StoredMessage {
    /// About how many bytes of a page it takes.
    pub(super) fn bytes(&self) -> usize {
        let attachments = self.attachments.iter().map(StoredAttachment::bytes);
        self.body.len() + attachments.sum::<usize>()
    }
}

/// An emoji as it is stored and shown. Entries may be older than the rule that there is one spelling.
pub(super) fn full_spelling(emoji: String) -> String {
    text::emoji(&emoji).map_or(emoji, str::to_owned)
}

/// The reactions to a message, with those to one emoji in several spellings added up.
pub(super) fn merged(reactions: impl IntoIterator<Item = Reaction>) -> Vec<Reaction> {
    let mut merged: Vec<Reaction> = Vec::new();
    for reaction in reactions {
        let emoji = full_spelling(reaction.emoji);
        match merged.iter_mut().find(|known| known.emoji == emoji) {
            Some(known) => {
                known.count += reaction.count;
                known.mine |= reaction.mine;
            }
            None => merged.push(Reaction { emoji, ..reaction }),
        }
    }
    merged
}

/// Without the text, which must not reach a log.
impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMessage")
            .field("room_id", &self.room_id)
            .field("seq", &self.seq)
            .field("sender", &self.sender.id)
            .field("edited_at", &self.edited_at)
            .field("deleted_at", &self.deleted_at)
            .finish_non_exhaustive()
    }
}
