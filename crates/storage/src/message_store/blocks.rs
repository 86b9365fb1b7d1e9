//! Blocks between users. A block works both ways: neither of the two reaches the other.

use protocol::{RoomId, Timestamp, UserId};

use super::{Backend, MessageStore, on_backend};
use crate::StoreError;

/// Users whom one user may block.
pub(super) const BLOCKS_MAX: usize = 1_000;

/// Refuses a block of oneself.
pub(super) fn check_block(user: &UserId, blocked: &UserId) -> Result<(), StoreError> {
    match user == blocked {
        true => Err(StoreError::conflict("userId", "expected somebody else")),
        false => Ok(()),
    }
}

/// The refusal of more than [`BLOCKS_MAX`] blocks.
pub(super) fn too_many_blocks() -> StoreError {
    StoreError::conflict("userId", "1,000 are blocked already")
}

impl MessageStore {
    /// Blocks a user; false if they are blocked already. `Conflict` naming `userId` for oneself, `NotFound`
    /// if there is no such user, `Conflict` naming `userId` beyond 1,000.
    pub async fn block(
        &self,
        user: &UserId,
        blocked: &UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        on_backend!(self, Write: blocks.block(user, blocked, now))
    }

    /// Removes a block; false if there was none.
    pub async fn unblock(&self, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
        on_backend!(self, Write: blocks.unblock(user, blocked))
    }

    /// The users whom a user has blocked, at most 1,000. `NotFound` if there is no such user.
    pub async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        on_backend!(self, Read: blocks.blocked_by(user))
    }

    /// The direct room of two users, if they have one.
    pub async fn direct_room_id(
        &self,
        one: &UserId,
        other: &UserId,
    ) -> Result<Option<RoomId>, StoreError> {
        on_backend!(self, Read: direct_rooms.direct_room_id(one, other))
    }

    /// True for a direct room if one of its two users has blocked the other; up to ten seconds old where the bus is down.
    /// False for a room that doesn't exist.
    pub async fn is_blocked_in(&self, room: &RoomId) -> Result<bool, StoreError> {
        on_backend!(self, Read: blocks.is_blocked_in(room))
    }

    /// The direct rooms in which one of the two users has blocked the other. Empty for the store of a fleet, which is
    /// asked for each room.
    pub async fn blocked_rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        match &self.backend {
            Backend::Sqlite(store) => store.blocked_rooms().await,
            Backend::Mongodb(_) => Ok(Vec::new()),
        }
    }

    /// True if one of two users has blocked the other. `NotFound` if one doesn't exist.
    pub async fn is_blocked(&self, one: &UserId, other: &UserId) -> Result<bool, StoreError> {
        on_backend!(self, Read: blocks.is_blocked(one, other))
    }
}
