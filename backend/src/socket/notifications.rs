//! The namespace `/notifications`: what concerns a user outside of rooms, and what was invalidated of what clients may keep.

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use gateway::{Ack, CloseReason, Event, Handled, Session, Socket};
use protocol::{ClientEvent, ErrorCode, Invalid, ListNotifications, ReadNotifications, read_json};

use super::{Answer, overloaded, refuse, registration, reply};
use crate::{
    app::SharedApp,
    auth::actor::Actor,
    error::AppError,
    limits::{Tier, tiers},
    notifications::{Notifications, listing},
    topics,
};

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

type Ruling<'a, T> = BoxFuture<'a, Result<<T as ClientEvent>::Ack, AppError>>;

impl NotificationSession {
    /// Handles an event before the next one of its connection.
    fn answer<T: ClientEvent + Send + 'static>(
        self: Arc<Self>,
        event: Event,
        rule: impl for<'a> FnOnce(&'a Notifications, &'a Actor, T) -> Ruling<'a, T> + Send + 'static,
    ) -> Handled
    where
        T::Ack: Send,
    {
        let request = event
            .first_argument()
            .ok_or_else(|| Invalid::new("payload", "is missing or isn't JSON"))
            .and_then(|payload| read_json::<T>(payload.as_bytes()));
        let ack = Answer::unrecorded(event.into_ack());
        Some(Box::pin(async move {
            let ruling = async {
                let who = tiers::of_user(&self.actor.user_id);
                let limits = &self.app.limits;
                limits.take(Tier::Events, who, 1, Instant::now()).await?;
                let request = request?;
                let notifications = self.app.notifications.as_ref();
                let notifications =
                    notifications.ok_or_else(|| AppError::not_found("event on this server"))?;
                rule(notifications, &self.actor, request).await
            };
            reply(ack, ruling.await);
        }))
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
            registration::admit(app, actor, &socket);
        }
        None
    }

    fn event(self: Arc<Self>, _: Socket, event: Event) -> Handled {
        match event.name() {
            ListNotifications::NAME => self.answer(event, |notifications, actor, request| {
                Box::pin(listing::list(notifications, actor, request))
            }),
            ReadNotifications::NAME => self.answer(event, |notifications, actor, request| {
                Box::pin(listing::read(notifications, actor, request))
            }),
            _ => {
                let error = AppError::new(ErrorCode::Invalid, "event: no such event");
                refuse(Answer::unrecorded(event.into_ack()), error);
                None
            }
        }
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
