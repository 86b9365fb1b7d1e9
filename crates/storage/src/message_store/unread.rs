//! How much of a room somebody hasn't read: messages of others after their `readSeq` that aren't
//! deleted. Counting is bounded, so that a room left alone for a year costs no more than one left
//! for a day.

use protocol::{RoomId, UserId};

use super::{MessageStore, on_backend};
use crate::StoreError;

/// Where counting stops: so many, or more.
pub const UNREAD_MAX: u64 = 1_000;

impl MessageStore {
    /// The unread messages of one member, at most [`UNREAD_MAX`]. `NotFound` if there is no such
    /// room or the user isn't in it.
    pub async fn unread(&self, room: &RoomId, user: &UserId) -> Result<u64, StoreError> {
        on_backend!(self, Unread: unread.unread(room, user))
    }

    /// The unread messages of each of these users, at most [`UNREAD_MAX`]; who isn't a member is
    /// left out. One pass over the log, whatever the number of users. `NotFound` if there is no
    /// such room.
    pub async fn unread_for(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, u64)>, StoreError> {
        on_backend!(self, Unread: unread.unread_for(room, users))
    }
}
