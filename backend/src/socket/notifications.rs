//! The namespace `/notifications`: what concerns a user outside of rooms. So far, what was invalidated of what clients may keep.

use std::sync::Arc;

use gateway::{Ack, CloseReason, Event, Handled, Session, Socket};
use protocol::{ErrorCode, Invalid};

use super::{Answer, connect, overloaded, refuse};
use crate::{app::SharedApp, auth::actor::Actor, error::AppError, topics};

/// One connection of a user to the namespace.
pub struct NotificationSession {
    app: SharedApp,
    actor: Actor,
}

impl NotificationSession {
    pub(super) fn new(app: SharedApp, actor: Actor) -> Self {
        Self { app, actor }
    }
}

impl Session for NotificationSession {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        let Self { app, actor } = &*self;
        let everybody = topics::everybody(topics::NOTIFICATIONS);
        let sockets = &app.user_sockets;
        // Else the connection is closing already.
        if sockets.register_session(&actor.user_id, &actor.session_id, &socket)
            && socket.join(&everybody, 0).is_ok()
        {
            connect::admit(app, actor, &socket);
        }
        None
    }

    fn event(self: Arc<Self>, _: Socket, event: Event) -> Handled {
        let error = AppError::new(ErrorCode::Invalid, "event: no such event");
        refuse(Answer::unrecorded(event.into_ack()), error);
        None
    }

    fn unreadable(&self, ack: Ack) {
        let error = Invalid::new("event", "expected a name without unpaired surrogates");
        refuse(Answer::unrecorded(ack), error.into());
    }

    fn overloaded(&self, event: Event) {
        refuse(Answer::unrecorded(event.into_ack()), overloaded());
    }

    fn disconnected(&self, socket: &Socket, _: &[Arc<str>], _: CloseReason) {
        let Actor {
            user_id,
            session_id,
            ..
        } = &self.actor;
        self.app.user_sockets.remove(user_id, session_id, socket);
    }
}
