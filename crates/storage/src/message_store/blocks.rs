//! Who has blocked whom. A block works both ways: neither of the two reaches the other.

use protocol::{Timestamp, UserId};

use super::{MessageStore, on_backend};
use crate::StoreError;

impl MessageStore {
    /// Blocks a user; says whether that is new. `Invalid` naming `userId` for oneself, `NotFound`
    /// if there is no such user, `Conflict` naming `userId` beyond 1,000.
    pub async fn block(
        &self,
        user: &UserId,
        blocked: &UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        on_backend!(self, block(user, blocked, now))
    }

    /// Takes a block back; says whether there was one.
    pub async fn unblock(&self, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
        on_backend!(self, unblock(user, blocked))
    }

    /// Whom a user has blocked, at most 1,000.
    pub async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        on_backend!(self, blocked_by(user))
    }

    /// Whether one of two users has blocked the other.
    pub async fn is_blocked(&self, one: &UserId, other: &UserId) -> Result<bool, StoreError> {
        on_backend!(self, is_blocked(one, other))
    }
}
