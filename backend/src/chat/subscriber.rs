//! A connection that is being subscribed to a room.

use gateway::{JoinError, Reservation, Socket};
use protocol::{ErrorCode, RoomId, UserId};

use super::removals::{RemovalMark, Removals};
use crate::{error::AppError, topics};

/// A connection whose user was a member of the room a moment ago.
pub struct Subscriber<'a> {
    /// The connection.
    pub socket: &'a Socket,
    /// Its user.
    pub user: &'a UserId,
    /// A subscription that is reserved, if one had to be before something was written.
    pub reservation: Option<Reservation>,
    /// Taken before the user's membership was read.
    pub mark: RemovalMark,
    /// Recent removals.
    pub removals: &'a Removals,
}

/// The outcome of subscribing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// It is subscribed now.
    New,
    /// It was subscribed before.
    Already,
    /// It isn't subscribed: its user may have been removed since the membership was read.
    Uncertain,
}

impl Subscriber<'_> {
    /// Subscribes it, unless its user may have been removed.
    ///
    /// # Errors
    /// As [`not_subscribed`] says.
    pub(super) fn subscribe(&mut self, room: &RoomId) -> Result<Subscribed, AppError> {
        let (topic, mark) = (topics::room(room), topics::mark(self.user));
        let is_new = match self.reservation.take() {
            Some(reservation) => reservation.join(&topic, mark),
            None => self.socket.join(&topic, mark),
        }
        .map_err(not_subscribed)?;
        if self.removals.may_include(self.mark, room, self.user) {
            // Whoever removed the user ends a subscription from before.
            if is_new {
                self.socket.leave(&topic);
            }
            return Ok(Subscribed::Uncertain);
        }
        Ok(if is_new {
            Subscribed::New
        } else {
            Subscribed::Already
        })
    }
}

/// Why a connection wasn't subscribed, for its client: `unavailable` while it is being told that it fell behind,
/// `rate_limited` if it has too many subscriptions.
pub(super) fn not_subscribed(error: JoinError) -> AppError {
    match error {
        JoinError::Closed | JoinError::Lagging => AppError::new(
            ErrorCode::Unavailable,
            "the connection fell behind; try again",
        ),
        JoinError::TooMany => AppError::new(
            ErrorCode::RateLimited,
            "too many rooms on this connection; leave some",
        ),
    }
}
