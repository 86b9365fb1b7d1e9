//! Which connections are subscribed to which rooms: letting members in, and ending the subscriptions of who isn't one any
//! more.

use std::sync::Arc;

use gateway::{Reservation, Socket};
use protocol::{ErrorBody, ErrorCode, RoomId, RoomMemberChanged, UserId};

use super::{
    presence::Presence,
    removals::{RemovalMark, Removals},
    replay::{Replay, Since},
    room_feeds::RoomFeeds,
    subscriber::{Subscribed, Subscriber, not_subscribed},
};
use crate::{delivery::user_sockets::UserSockets, error::AppError, topics, wire};

/// A member who is removed and added again more often while subscribing is told to try again.
const ATTEMPTS: usize = 5;

/// Subscriptions of connections to rooms.
pub struct Subscriptions {
    feeds: Arc<RoomFeeds>,
    presence: Arc<Presence>,
    user_sockets: Arc<UserSockets>,
    removals: Removals,
}

/// A subscription that is reserved for a room that isn't known yet or whose membership isn't written yet.
pub struct Reserved {
    reservation: Option<Reservation>,
    mark: RemovalMark,
}

/// A connection that joins a room.
pub struct Joining<'a> {
    /// The connection.
    pub socket: &'a Socket,
    /// Its user.
    pub user: &'a UserId,
    /// Made before the user's membership was read or written.
    pub reserved: Reserved,
}

impl Reserved {
    /// No reservation, for a membership that was read after `mark`.
    pub fn since(mark: RemovalMark) -> Self {
        Self {
            reservation: None,
            mark,
        }
    }
}

impl Subscriptions {
    /// Subscriptions to these feeds.
    pub fn new(
        feeds: Arc<RoomFeeds>,
        presence: Arc<Presence>,
        user_sockets: Arc<UserSockets>,
    ) -> Self {
        Self {
            feeds,
            presence,
            user_sockets,
            removals: Removals::default(),
        }
    }

    /// To be called before a membership is read or written that the subscription depends on.
    pub fn mark(&self) -> RemovalMark {
        self.removals.mark()
    }

    /// As [`Subscriptions::mark`], and reserves a subscription, so that nothing is written for a connection that has no
    /// room for one more.
    ///
    /// # Errors
    /// `rate_limited` if the connection has too many subscriptions.
    pub fn reserve(&self, socket: &Socket) -> Result<Reserved, AppError> {
        Ok(Reserved {
            reservation: Some(socket.reserve().map_err(not_subscribed)?),
            mark: self.removals.mark(),
        })
    }

    /// Subscribes a connection to a room that its user was a member of when the reservation was made or later. `begin` gets what was
    /// missed before any later event reaches the socket. If the user may have been removed meanwhile, `check` looks at the
    /// membership again, and the subscription is tried again if it succeeds.
    ///
    /// # Errors
    /// As `RoomFeeds::subscribe`, and those of `check`.
    pub async fn subscribe<F: Future<Output = Result<(), AppError>> + Send>(
        &self,
        joining: Joining<'_>,
        room: &RoomId,
        since: Option<Since>,
        begin: impl FnOnce(Replay),
        check: impl Fn() -> F + Send,
    ) -> Result<(), AppError> {
        let mut begin = Some(begin);
        let Joining {
            socket,
            user,
            reserved,
        } = joining;
        let mut subscriber = Subscriber {
            socket,
            user,
            reservation: reserved.reservation,
            mark: reserved.mark,
            removals: &self.removals,
        };
        for _ in 0..ATTEMPTS {
            let entering = self.presence.enter(room, user);
            let begin_once = |replay| {
                if let Some(begin) = begin.take() {
                    begin(replay);
                }
            };
            let subscribed = self
                .feeds
                .subscribe(&mut subscriber, room, since.clone(), begin_once)
                .await?;
            match subscribed {
                Subscribed::New => {
                    entering.subscribed();
                    return Ok(());
                }
                Subscribed::Already => return Ok(()),
                Subscribed::Uncertain => {
                    drop(entering);
                    subscriber.mark = self.removals.mark();
                    check().await?;
                }
            }
        }
        let message = "membership is just changing; try again";
        Err(ErrorBody::new(ErrorCode::Unavailable, message)
            .retry_after_ms(1_000)
            .into())
    }

    /// A user is no longer a member of a room: their connections here are told, and unsubscribed.
    pub fn end(&self, room: &RoomId, user: &UserId) {
        if !self.user_sockets.has_user(user) {
            return;
        }
        self.removals.record(room, user);
        self.feeds.wait_for_subscribers(room);
        let removed = RoomMemberChanged {
            room_id: room.clone(),
            user_id: user.clone(),
            role: None,
        };
        if let Some(frame) = wire::frame(&removed) {
            self.user_sockets.send(user, None, &frame);
        }
        let topic = topics::room(room);
        for socket in self.user_sockets.of_user(user) {
            if socket.leave(&topic) {
                self.presence.leave(room, user);
            }
        }
    }

    /// True if a connection of the user here is subscribed to the room.
    pub fn contains(&self, room: &RoomId, user: &UserId) -> bool {
        let topic = topics::room(room);
        let sockets = self.user_sockets.of_user(user);
        sockets.iter().any(|socket| socket.is_subscribed(&topic))
    }
}
