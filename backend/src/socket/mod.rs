//! The namespace `/`: which event leads to which rule.
//!
//! Events of a connection are handled in the order sent. Durable ones (`message:send`, edit, delete, react) are
//! queued for the room's log here and answered when they are durable, so that many can be in flight; the others are
//! answered before the next one is handled.

mod asked;
mod connect;
mod images;
mod messages;
mod notifications;
mod registration;
mod resume;
mod rooms;

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use gateway::{Ack, CloseReason, Event, Frame, Handled, Session, Socket};
use parking_lot::Mutex;
use protocol::{
    self as wire, ClientEvent, CreateRoom, DeleteMessage, EditMessage, ErrorCode, EventsRequest,
    GetPresence, HistoryRequest, JoinRoom, LeaveRoom, ReactToMessage, RoomId, SearchRequest,
    SendMessage, SetRead, SetTyping, UploadImage,
};

use crate::{
    app::SharedApp,
    auth::actor::Actor,
    chat::{history, online, read_receipts, rooms as room_rules, typing},
    error::AppError,
    limits::{Key, Tier},
    topics,
    wire::resync,
};

use asked::{Answer, Asked};
pub use connect::Connector;
pub use resume::RESUMING;

/// One connection of a user to the namespace `/`.
pub struct ChatSession {
    app: SharedApp,
    actor: Actor,
    /// The actor's, for rate limits.
    limit_key: Key,
    /// The rooms that the client had, until they are resumed.
    resume: Mutex<Option<Box<resume::Points>>>,
    /// Rooms in which this connection said that its user is writing; few, and forgotten at the end.
    typing: Mutex<Vec<RoomId>>,
}

impl Session for ChatSession {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        registration::connected(self, socket)
    }

    fn event(self: Arc<Self>, socket: Socket, event: Event) -> Handled {
        let tier = match event.name() {
            SendMessage::NAME
            | EditMessage::NAME
            | DeleteMessage::NAME
            | ReactToMessage::NAME
            | UploadImage::NAME => Tier::Messages,
            _ => Tier::Events,
        };
        let asked = Asked::new(&self, &socket, event);
        let (limits, key, now) = (&self.app.limits, self.limit_key, Instant::now());
        match limits.try_take(tier, key, now) {
            Some(Ok(_)) => self.admitted(socket, asked),
            Some(Err(error)) => {
                refuse(asked.into_answer(), error);
                None
            }
            // The next event of the connection waits with it, so their order stays.
            None => Some(Box::pin(async move {
                match self.app.limits.take(tier, key, 1, now).await {
                    Ok(_) => {
                        if let Some(handled) = self.admitted(socket, asked) {
                            handled.await;
                        }
                    }
                    Err(error) => refuse(asked.into_answer(), error),
                }
            })),
        }
    }

    fn unreadable(&self, ack: Ack) {
        refuse(
            Answer::unrecorded(ack),
            wire::Invalid::new("event", "expected a name without unpaired surrogates").into(),
        );
    }

    fn overloaded(&self, event: Event) {
        refuse(Answer::unrecorded(event.into_ack()), overloaded());
    }

    fn lagging(&self, topic: &str) -> Option<Frame> {
        let room = topics::room_of(topic)?;
        self.app.chat.unsubscribed(&room, &self.actor.user_id);
        let head_seq = self.app.chat.head_seq(&room).unwrap_or_default();
        resync(&room, head_seq)
    }

    fn disconnected(&self, socket: &Socket, topics: &[Arc<str>], _: CloseReason) {
        let Actor {
            user_id,
            session_id,
            ..
        } = &self.actor;
        self.app.user_sockets.remove(user_id, session_id, socket);
        let typing = std::mem::take(&mut *self.typing.lock());
        for room in topics.iter().filter_map(|topic| topics::room_of(topic)) {
            self.app.chat.unsubscribed(&room, &self.actor.user_id);
            // Only in rooms that the user wasn't removed from.
            if typing.contains(&room) {
                typing::stopped(&self.app.chat, &self.actor, room);
            }
        }
    }
}

impl ChatSession {
    /// Handles an event that no limit refuses.
    fn admitted(self: Arc<Self>, socket: Socket, asked: Asked) -> Handled {
        match asked.event.name() {
            SendMessage::NAME => messages::send(&self, asked),
            EditMessage::NAME => messages::edit(&self, asked),
            DeleteMessage::NAME => messages::delete(&self, asked),
            ReactToMessage::NAME => messages::react(&self, asked),
            UploadImage::NAME => images::upload(&self, socket, asked),

            CreateRoom::NAME => rooms::create(self, socket, asked),
            JoinRoom::NAME => rooms::join(self, socket, asked),
            LeaveRoom::NAME => answer(asked, |request: LeaveRoom| async move {
                room_rules::leave(&self.app.chat, &self.actor, &request.room_id).await
            }),

            HistoryRequest::NAME => answer(asked, |request| async move {
                history::messages(&self.app.chat, &self.actor, request).await
            }),
            EventsRequest::NAME => answer(asked, |request| async move {
                history::events(&self.app.chat, &self.actor, request).await
            }),
            SearchRequest::NAME => answer(asked, |request| async move {
                history::search(&self.app.chat, &self.actor, request).await
            }),

            SetTyping::NAME => answer(asked, |request: SetTyping| async move {
                let (room, on) = (request.room_id.clone(), request.on);
                let set = typing::set(&self.app.chat, &self.actor, &socket, request).await?;
                self.note_typing(room, on);
                Ok(set)
            }),
            SetRead::NAME => answer(asked, |request| async move {
                read_receipts::set(&self.app.chat, &self.actor, request).await
            }),
            GetPresence::NAME => answer(asked, |request| async move {
                online::get(&self.app.chat, &self.actor, request).await
            }),

            _ => {
                let error = AppError::new(ErrorCode::Invalid, "event: no such event");
                refuse(asked.into_answer(), error);
                None
            }
        }
    }

    fn note_typing(&self, room: RoomId, on: bool) {
        /// Nobody writes in more rooms at once; what is beyond isn't taken back when the connection ends.
        const MAX_TYPING: usize = 8;
        let mut typing = self.typing.lock();
        typing.retain(|noted| *noted != room);
        if on && typing.len() < MAX_TYPING {
            typing.push(room);
        }
        if typing.is_empty() {
            *typing = Vec::new();
        }
    }
}

fn overloaded() -> AppError {
    let after = std::time::Duration::from_secs(1);
    AppError::rate_limited("too many events at once", after)
}

/// The payload of an event.
fn read<T: ClientEvent>(asked: &Asked) -> Result<T, AppError> {
    let payload = asked
        .event
        .first_argument()
        .ok_or_else(|| wire::Invalid::new("payload", "is missing or isn't JSON"))?;
    Ok(wire::read_json(payload.as_bytes())?)
}

/// Handles an event before the next one of its connection.
fn answer<T, F>(asked: Asked, rule: impl FnOnce(T) -> F) -> Handled
where
    T: ClientEvent,
    F: Future<Output = Result<T::Ack, AppError>> + Send + 'static,
    T::Ack: Send,
{
    let request = read::<T>(&asked);
    let ack = asked.into_answer();
    match request {
        Ok(request) => {
            let ruling = rule(request);
            let answered: BoxFuture<'static, ()> =
                Box::pin(async move { reply(ack, ruling.await) });
            Some(answered)
        }
        Err(error) => {
            refuse(ack, error);
            None
        }
    }
}

/// Answers an event.
fn reply<T: serde::Serialize>(ack: Answer, result: Result<T, AppError>) {
    match result {
        Ok(body) => send(ack.done(), &wire::Ack::Ok(body)),
        Err(error) => refuse(ack, error),
    }
}

fn refuse(ack: Answer, error: AppError) {
    let mut ack = ack.refused(error.code());
    if let Some(ack) = &mut ack {
        ack.set_outcome(connect::outcome_of(error.code()));
    }
    send::<wire::Done>(ack, &wire::Ack::Refused(error.into_body()));
}

fn send<T: serde::Serialize>(ack: Option<Ack>, answer: &wire::Ack<T>) {
    if let Some(Err(error)) = ack.map(|ack| ack.send(answer)) {
        tracing::error!(%error, "an answer can't be encoded");
    }
}
