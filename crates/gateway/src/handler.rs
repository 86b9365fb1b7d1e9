//! What an application implements: who may connect, and what events do.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use engineioxide_core::Str;
use futures_util::future::BoxFuture;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use socketioxide_core::{Value, parser::Parse};
use socketioxide_parser_common::CommonParser;

use crate::{
    close::CloseReason,
    frame::{EncodeError, Frame},
    gateway::Endpoint,
    socket::Socket,
};

/// What remains to be done for an event. `None`: nothing. The connection's next event waits for the future, and no
/// future is held while there is nothing to wait for. What may complete after later events (a durable write) is
/// started and not waited for; its [`Ack`] is sent whenever it's done. When the connection ends the future is dropped
/// where it stands: what has to be completed is spawned.
pub type Handled = Option<BoxFuture<'static, ()>>;

/// Decides who may connect to which namespace.
pub trait Handler: Send + Sync + 'static {
    /// A client asks for a namespace. The session is registered before the client learns that it is connected, so an
    /// event that follows at once can't be lost. If the client has gone meanwhile the session is dropped without any
    /// of its calls: what has to be undone begins in [`Session::connected`].
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>>;

    /// The application's own number for events of this name, by which [`answered`](Self::answered) tells them apart.
    fn event_kind(&self, name: &str) -> u16 {
        let _ = name;
        0
    }

    /// An event of this kind was answered: its ack was queued, `took` after the event had been read. `outcome` is what
    /// [`Ack::set_outcome`] was told, or 0. Called for every ack, so it must neither block nor take long.
    fn answered(&self, kind: u16, outcome: u16, took: Duration) {
        let _ = (kind, outcome, took);
    }
}

/// One namespace of one connection, as the application sees it. Called for its events in the order they were sent. A
/// panic in any of its calls ends the connection, with [`CloseReason::TryLater`], and no other.
pub trait Session: Send + Sync + 'static {
    /// The client has been told that it is connected; events follow when this is done.
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        drop(socket);
        None
    }

    /// An event of the client. While answers of some bytes are outstanding none is read, so that no answer may wait for
    /// something that the same client is yet to send.
    fn event(self: Arc<Self>, socket: Socket, event: Event) -> Handled;

    /// An event that has no name to be read, or one that clients keep for themselves. The ack can say so.
    fn unreadable(&self, ack: Ack) {
        drop(ack);
    }

    /// An event beyond the connection's bounds (rate, or answers outstanding). It isn't handled; the ack can say so.
    fn overloaded(&self, event: Event) {
        drop(event);
    }

    /// The connection fell behind on `topic`: its backlog was dropped and its subscription has ended. The frame is
    /// what the client gets instead.
    fn lagging(&self, topic: &str) -> Option<Frame> {
        let _ = topic;
        None
    }

    /// The namespace has ended, and its subscriptions to `topics` with it. Must not block.
    fn disconnected(&self, socket: &Socket, topics: &[Arc<str>], reason: CloseReason) {
        let _ = (socket, topics, reason);
    }
}

/// An application on bare Engine.IO, without namespaces and events.
pub trait EngineHandler: Send + Sync + 'static {
    /// A text message, without its packet type.
    fn text(&self, socket: &EngineSocket, message: &str);
    /// A binary message.
    fn binary(&self, socket: &EngineSocket, message: &[u8]);
}

/// A connection of an [`EngineHandler`].
pub struct EngineSocket(pub(crate) Arc<crate::connection::Connection>);

impl EngineSocket {
    /// Sends a text message.
    pub fn send_text(&self, message: &str) {
        self.0.send(&Frame::engine_text(&format!("4{message}")));
    }
    /// Sends a binary message.
    pub fn send_binary(&self, message: &[u8]) {
        self.0.send(&Frame::engine_binary(message));
    }
}

/// A client's wish to connect to a namespace.
#[derive(Debug)]
pub struct ConnectRequest {
    /// The namespace, beginning with "/", its query removed.
    pub namespace: String,
    /// Where the connection comes from: the peer of its first request, or who a trusted proxy says that is.
    pub address: IpAddr,
    pub(crate) auth: Option<Str>,
}

impl ConnectRequest {
    /// The client's `auth` object; an empty one if it sent none.
    ///
    /// # Errors
    /// If it doesn't parse as `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        serde_json::from_str(self.auth_json().unwrap_or("{}"))
            .map_err(|e| PayloadError(e.to_string()))
    }

    /// The `auth` object as JSON text.
    pub fn auth_json(&self) -> Option<&str> {
        self.auth.as_deref()
    }
}

/// Why a client isn't connected.
#[derive(Debug)]
pub enum Refusal {
    /// For good: CONNECT_ERROR with this message and `data`. The official clients don't try again.
    Final {
        /// `message` of the client's error.
        message: String,
        /// `data` of the client's error.
        data: Option<serde_json::Value>,
    },
    /// For now: the transport closes, and the official clients try again.
    TryLater,
}

/// An event of a client, with the means to answer it.
pub struct Event {
    name: Str,
    data: Value,
    ack: Ack,
}

/// A payload that isn't what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

impl Event {
    /// The event in `data`; its ack alone if it has no name to be read, or one that clients keep for themselves.
    pub(crate) fn new(data: Value, ack: Ack) -> Result<Self, Ack> {
        match name(&data).filter(|name| !RESERVED.contains(&name.as_str())) {
            Some(name) => Ok(Self {
                ack: ack.of(&name),
                name,
                data,
            }),
            None => Err(ack),
        }
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first argument as JSON text; `None` if there is none, or if the arguments aren't JSON.
    pub fn first_argument(&self) -> Option<&str> {
        let Ends { first, .. } = serde_json::from_str(self.text()).ok()?;
        first.map(RawValue::get)
    }

    /// Parses the first argument; whatever follows it is ignored.
    ///
    /// # Errors
    /// If it is missing or isn't a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let first = self
            .first_argument()
            .ok_or_else(|| PayloadError("the payload is missing or not JSON".into()))?;
        serde_json::from_str(first).map_err(|e| PayloadError(e.to_string()))
    }

    /// Parses the arguments with their binary attachments put in place: a tuple takes all arguments, anything else
    /// the first.
    ///
    /// # Errors
    /// If they aren't a `T`.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        CommonParser
            .decode_value(&mut self.data, true)
            .map_err(|e| PayloadError(e.to_string()))
    }

    /// All arguments as JSON text, separated by commas, without brackets; attachments are placeholders in it. Empty
    /// if there are none, or if they aren't JSON.
    pub fn arguments(&self) -> &str {
        arguments(self.text()).unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.data.as_str().map_or("", |text| text.as_str())
    }

    /// The binary attachments, in order.
    pub fn attachments(&self) -> Vec<Bytes> {
        match &self.data {
            Value::Str(_, Some(attachments)) => attachments.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The means to answer. Keep it until the event is done: it counts as in flight as long.
    pub fn into_ack(self) -> Ack {
        self.ack
    }
}

/// Events that the official client keeps for itself.
const RESERVED: [&str; 5] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
];

fn name(data: &Value) -> Option<Str> {
    if let Ok(name) = CommonParser.read_event(data) {
        return Some(Str::copy_from_slice(name));
    }
    // The library reads no name with an escape in it; python-socketio escapes all but ASCII. Whether what follows can be
    // read is for the application to say.
    let elements = data.as_str()?.trim_start().strip_prefix('[')?;
    let mut elements = serde_json::Deserializer::from_str(elements).into_iter::<String>();
    Some(elements.next()?.ok()?.into())
}

/// The text after the name in `["name",…]`; `None` if that isn't JSON.
pub(crate) fn arguments(event: &str) -> Option<&str> {
    let Ends { name, .. } = serde_json::from_str(event).ok()?;
    let name = name?.get();
    let after = name.as_ptr() as usize - event.as_ptr() as usize + name.len();
    let rest = event[after..].trim_end().strip_suffix(']')?.trim();
    Some(rest.strip_prefix(',').unwrap_or(rest).trim_start())
}

/// Where the name and the first argument of an event stand, found in one pass over all of it without copying any.
struct Ends<'a> {
    name: Option<&'a RawValue>,
    first: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Ends<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Ends<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Ends<'de>, A::Error> {
                let ends = Ends {
                    name: elements.next_element()?,
                    first: elements.next_element()?,
                };
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ends)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// Bytes that an answer has beside what it repeats of its event.
const ANSWER: usize = 128;

/// The answer to one event; sending nothing is possible too. While it exists the event counts as in flight.
pub struct Ack {
    socket: Socket,
    id: Option<i64>,
    /// About how many bytes the answer will take.
    size: usize,
    /// When the event was read, in microseconds since the gateway's start.
    read_at: u64,
    /// The application's numbers for the event and for how it went.
    kind: u16,
    outcome: u16,
}

impl Ack {
    /// The means to answer an event of so many bytes. Answers are about as large as what they answer; one that is
    /// larger by much is waited for before the next event is looked at.
    pub(crate) fn new(socket: Socket, id: Option<i64>, event: usize, read_at: u64) -> Self {
        let size = event + ANSWER;
        socket.connection().event_begins(size);
        Self {
            socket,
            id,
            size,
            read_at,
            kind: 0,
            outcome: 0,
        }
    }

    /// Of an event of this name.
    fn of(mut self, name: &str) -> Self {
        if self.is_wanted()
            && let Endpoint::SocketIo(handler) = &self.socket.connection().gateway().endpoint
        {
            self.kind = handler.event_kind(name);
        }
        self
    }

    /// Says how the event went, by a number of the application's own, for [`Handler::answered`].
    pub fn set_outcome(&mut self, outcome: u16) {
        self.outcome = outcome;
    }

    /// Whether the client waits for an answer.
    pub fn is_wanted(&self) -> bool {
        self.id.is_some()
    }

    /// Answers with one argument. Nothing happens if the client wants no answer or is gone.
    ///
    /// # Errors
    /// If `payload` doesn't serialise.
    pub fn send<T: serde::Serialize + ?Sized>(self, payload: &T) -> Result<(), EncodeError> {
        if self.id.is_none() {
            return Ok(());
        }
        let json = serde_json::to_string(payload).map_err(EncodeError::from)?;
        self.send_json(json, Vec::new());
        Ok(())
    }

    /// Answers with arguments that are JSON already, separated by commas; placeholders refer to `attachments`.
    pub fn send_json(self, arguments: String, attachments: Vec<Bytes>) {
        let Some(id) = self.id else { return };
        let connection = self.socket.connection();
        if let Some((namespace, _)) = connection.namespace(self.socket.key()) {
            connection.send(&Frame::ack(&namespace, id, arguments, attachments));
            let gateway = connection.gateway();
            if let Endpoint::SocketIo(handler) = &gateway.endpoint {
                let took = gateway.now_micros().saturating_sub(self.read_at);
                handler.answered(self.kind, self.outcome, Duration::from_micros(took));
            }
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.socket.connection().event_ends(self.size);
    }
}

/// A client's answer to a [`Socket::request`].
#[derive(Debug)]
pub struct Reply {
    pub(crate) data: Value,
}

impl Reply {
    /// Parses the first argument of the answer, attachments put in place.
    ///
    /// # Errors
    /// If it isn't a `T`.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        CommonParser
            .decode_value(&mut self.data, false)
            .map_err(|e| PayloadError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_stand_behind_the_name() {
        for (event, expected) in [
            (r#"["e"]"#, Some("")),
            (r#" [ "e" , 1 , {"a":[2]} ] "#, Some(r#"1 , {"a":[2]}"#)),
            (r#"["a\",b",[]]"#, Some("[]")),
            ("[]", None),
            (r#"["e",1"#, None),
            (r#"["e",nonsense]"#, None),
            (r#"{"e":1}"#, None),
        ] {
            assert_eq!(arguments(event), expected, "{event}");
        }
    }

    #[test]
    fn a_name_is_text_whatever_follows() {
        for (event, expected) in [
            (r#"["e",1]"#, Some("e")),
            (r#" [ "e" ]"#, Some("e")),
            (r#"["\u00e9",NaN]"#, Some("é")),
            (r#"["e",NaN]"#, Some("e")),
            (r#"["e""#, Some("e")),
            (r#"["bad\ud800",1]"#, None),
            ("[7,{}]", None),
            ("[null]", None),
            ("[[\"e\"]]", None),
            ("[]", None),
            ("{}", None),
            (r#""e""#, None),
            ("", None),
        ] {
            let data = Value::Str(event.into(), None);
            assert_eq!(name(&data).as_deref(), expected, "{event}");
        }
    }

    #[test]
    fn the_first_argument_is_text_of_the_event() {
        let first = |event| serde_json::from_str::<Ends<'_>>(event).ok()?.first;
        assert_eq!(
            first(r#"["e",{"a": 1},2]"#).map(RawValue::get),
            Some(r#"{"a": 1}"#)
        );
        assert!(first(r#"["e"]"#).is_none());
        // As deep as it likes: nothing is built of it.
        let deep = format!(r#"["e",1,{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(first(&deep).map(RawValue::get), Some("1"));
    }
}
