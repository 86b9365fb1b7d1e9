//! Following the logs of all rooms from a place on, for who derives something of what is written.

use protocol::{RoomId, Timestamp, UserId};

use super::mongodb::LogFollower;
use super::{Backend, MessageStore};
use crate::StoreError;

/// Characters of a message that come with it.
pub const EXCERPT_MAX: usize = 300;

/// An entry of some room's log.
#[derive(Clone, PartialEq, Eq)]
pub struct FollowedEntry {
    /// The room.
    pub room_id: RoomId,
    /// Its position in the room's log.
    pub seq: u64,
    /// What it is.
    pub body: FollowedBody,
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq)]
pub enum FollowedBody {
    /// A message.
    Message(FollowedMessage),
    /// The deletion of the message at this `seq`.
    Deleted(u64),
}

/// A message as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct FollowedMessage {
    /// Its sender.
    pub sender_id: UserId,
    /// The beginning of its text.
    pub excerpt: String,
    /// When it was written.
    pub at: Timestamp,
    /// The `seq` of the message that it answers.
    pub reply_to: Option<u64>,
    /// The users who are mentioned.
    pub mentions: Vec<UserId>,
}

impl MessageStore {
    /// Follows the logs of all rooms of a fleet behind a position that [`LogFollower::next`] returned, or from now on.
    /// `None` for the embedded store, whose only writer is this process. `NotFound` if the position is older than what the
    /// database keeps of its history.
    pub async fn follow(&self, position: Option<&str>) -> Result<Option<LogFollower>, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(None),
            Backend::Mongodb(store) => store.parts.entries.follow(position).await.map(Some),
        }
    }

    /// How far the log of each room of the embedded store goes, in the order of their making; empty for that of a fleet.
    pub async fn all_heads(&self) -> Result<Vec<(RoomId, u64)>, StoreError> {
        match &self.backend {
            Backend::Sqlite(store) => store.all_heads().await,
            Backend::Mongodb(_) => Ok(Vec::new()),
        }
    }
}

/// The beginning of a text.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_MAX).collect()
}
