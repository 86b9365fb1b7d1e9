//! What every instance has to know, because it remembers something of it or holds connections that it concerns.

use protocol::{RoomId, SessionId, UserId};

use crate::{app::App, chat::members, revocations};

/// A change that is felt on every instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A session has ended.
    SessionRevoked(SessionId),
    /// What somebody is in a room changed.
    MemberChanged {
        /// The room.
        room: RoomId,
        /// The user.
        user: UserId,
        /// Whether they are in it no longer.
        gone: bool,
    },
    /// These users are in the room no longer; at most [`Control::USERS`] at once.
    MembersRemoved {
        /// The room.
        room: RoomId,
        /// The users.
        users: Vec<UserId>,
    },
    /// A room got another name, a direct one was closed by a block or opened again, or it is gone.
    RoomChanged {
        /// The room.
        room: RoomId,
        /// Whether it is gone.
        deleted: bool,
    },
    /// A user's name, blocks or account changed.
    UserChanged(UserId),
}

impl Control {
    /// Users named in one message, at most.
    pub const USERS: usize = 5_000;

    /// Makes it felt here.
    pub fn apply(&self, app: &App) {
        match self {
            Self::SessionRevoked(session) => revocations::apply(app, session),
            Self::MemberChanged { room, user, gone } => {
                app.store.forget_member(room, user);
                if *gone {
                    members::removed_here(app, room, user);
                }
            }
            Self::MembersRemoved { room, users } => {
                for user in users {
                    app.store.forget_member(room, user);
                    members::removed_here(app, room, user);
                }
            }
            Self::RoomChanged { room, deleted } => {
                app.store.forget_room(room);
                if *deleted {
                    app.feeds.close(app, room);
                } else {
                    // A block between the two of a direct room may have come or gone.
                    app.presence.changed_elsewhere(room);
                }
            }
            Self::UserChanged(user) => app.store.forget_user(user),
        }
    }

    /// Whether `topic` is the one that these come on.
    pub(super) fn come_on(topic: &str) -> bool {
        topic == super::EVERYBODY
    }

    /// Messages of this kind may have been lost: nothing remembered is believed any more, and whoever is subscribed to
    /// a room or connected is looked up again. Only noted here: what delivers doesn't wait for it.
    pub(super) fn missed(app: &App) {
        app.store.forget_everything();
        app.revocations.doubt();
        app.reconciliation.doubt();
    }
}
