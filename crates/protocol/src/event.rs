//! Event names, and what each carries. A name is tied to its types here and nowhere else, so that
//! server, tests and documents can't differ about it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::connect::{Resync, RoomResumed, ServerDraining, SessionRevoked};
use crate::history::{
    EventPage, EventsRequest, HistoryRequest, MessagePage, MessagesFound, SearchRequest,
};
use crate::id::{RoomId, UserId};
use crate::member::{JoinRoom, LeaveRoom, RoomJoined, RoomRole};
use crate::message::{
    ChangeAccepted, DeleteMessage, EditAccepted, EditMessage, Message, MessageSent, ReactToMessage,
    SendMessage,
};
use crate::presence::{
    GetPresence, Presence, PresenceChanged, PresenceCount, ReadAccepted, ReadChanged, SetRead,
    SetTyping, TypingChanged,
};
use crate::request::Request;
use crate::room::{CreateRoom, Room, RoomBody};

/// A client event: the payload type, with its name and the body of its ack.
pub trait ClientEvent: Request + Serialize + JsonSchema {
    /// The name on the wire.
    const NAME: &'static str;
    /// What the ack holds beside `ok`.
    type Ack: Serialize + DeserializeOwned + JsonSchema;
}

/// A server event: the payload type, with its name.
pub trait ServerEvent: Serialize + DeserializeOwned + JsonSchema {
    /// The name on the wire.
    const NAME: &'static str;
}

macro_rules! client_events {
    ($($name:literal $payload:ty => $ack:ty;)+) => {
        $(impl ClientEvent for $payload {
            const NAME: &'static str = $name;
            type Ack = $ack;
        })+
    };
}

client_events! {
    "room:create" CreateRoom => RoomBody;
    "room:join" JoinRoom => RoomJoined;
    "room:leave" LeaveRoom => Done;
    "room:events" EventsRequest => EventPage;
    "message:send" SendMessage => MessageSent;
    "message:edit" EditMessage => EditAccepted;
    "message:delete" DeleteMessage => ChangeAccepted;
    "message:react" ReactToMessage => ChangeAccepted;
    "message:history" HistoryRequest => MessagePage;
    "message:search" SearchRequest => MessagesFound;
    "typing:set" SetTyping => Done;
    "read:set" SetRead => ReadAccepted;
    "presence:get" GetPresence => Presence;
}

macro_rules! server_events {
    ($($name:literal $payload:ty;)+) => {
        $(impl ServerEvent for $payload {
            const NAME: &'static str = $name;
        })+
    };
}

server_events! {
    "message:new" Message;
    "message:edited" MessageEdited;
    "message:deleted" MessageDeleted;
    "message:reacted" MessageReacted;
    "room:void" RoomVoid;
    "room:updated" RoomUpdated;
    "room:member" RoomMemberChanged;
    "room:unread" RoomUnread;
    "room:resumed" RoomResumed;
    "typing:changed" TypingChanged;
    "read:changed" ReadChanged;
    "presence:changed" PresenceChanged;
    "presence:count" PresenceCount;
    "resync" Resync;
    "server:draining" ServerDraining;
    "session:revoked" SessionRevoked;
}

/// The body of an ack that says no more than `ok`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// The text of a message changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    /// The room.
    pub room_id: RoomId,
    /// The place of the edit in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// The message as it is now.
    pub message: Message,
}

/// A message was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    /// The room.
    pub room_id: RoomId,
    /// The place of the deletion in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
}

/// An emoji was put to a message, or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageReacted {
    /// The room.
    pub room_id: RoomId,
    /// The place of the reaction in the room's log.
    pub seq: u64,
    /// The `seq` of the message.
    pub of: u64,
    /// The emoji.
    pub emoji: String,
    /// Who.
    pub user_id: UserId,
    /// Whether it was put or taken back.
    pub on: bool,
}

/// A place in the log that its writer lost: nothing is there, and nobody need wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomVoid {
    /// The room.
    pub room_id: RoomId,
    /// The place.
    pub seq: u64,
}

/// A durable event of a room, as `missed` and `events` hold it: the payload of the server event of
/// that name, with the name beside it as `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum RoomEvent {
    /// A message was sent.
    #[serde(rename = "message:new")]
    New(Message),
    /// A message was edited.
    #[serde(rename = "message:edited")]
    Edited(MessageEdited),
    /// A message was deleted.
    #[serde(rename = "message:deleted")]
    Deleted(MessageDeleted),
    /// A reaction was put or taken back.
    #[serde(rename = "message:reacted")]
    Reacted(MessageReacted),
    /// Nothing is here.
    #[serde(rename = "room:void")]
    Void(RoomVoid),
}

impl RoomEvent {
    /// The name of the server event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::New(_) => Message::NAME,
            Self::Edited(_) => MessageEdited::NAME,
            Self::Deleted(_) => MessageDeleted::NAME,
            Self::Reacted(_) => MessageReacted::NAME,
            Self::Void(_) => RoomVoid::NAME,
        }
    }

    /// The room.
    pub fn room_id(&self) -> &RoomId {
        match self {
            Self::New(message) => &message.room_id,
            Self::Edited(edited) => &edited.room_id,
            Self::Deleted(deleted) => &deleted.room_id,
            Self::Reacted(reacted) => &reacted.room_id,
            Self::Void(void) => &void.room_id,
        }
    }

    /// The event's place in the room's log.
    pub fn seq(&self) -> u64 {
        match self {
            Self::New(message) => message.seq,
            Self::Edited(edited) => edited.seq,
            Self::Deleted(deleted) => deleted.seq,
            Self::Reacted(reacted) => reacted.seq,
            Self::Void(void) => void.seq,
        }
    }

    /// The payload alone, to be sent under [`RoomEvent::name`].
    pub fn payload(&self) -> RoomEventPayload<'_> {
        RoomEventPayload(self)
    }

    /// The event's JSON made from that of its payload, which was already written for the live
    /// frame: one copy instead of a second serialization. `payload` is an object with at least one
    /// field.
    pub fn splice(name: &str, payload: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
        let fields = payload.get().strip_prefix('{').unwrap_or_default();
        RawValue::from_string(format!("{{\"type\":\"{name}\",{fields}"))
    }
}

/// Serializes the payload of a [`RoomEvent`] without its `type`.
#[derive(Debug, Clone, Copy)]
pub struct RoomEventPayload<'a>(&'a RoomEvent);

impl Serialize for RoomEventPayload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RoomEvent::New(message) => message.serialize(serializer),
            RoomEvent::Edited(edited) => edited.serialize(serializer),
            RoomEvent::Deleted(deleted) => deleted.serialize(serializer),
            RoomEvent::Reacted(reacted) => reacted.serialize(serializer),
            RoomEvent::Void(void) => void.serialize(serializer),
        }
    }
}

/// A room's name, kind or number of members changed. What the room is to one member is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomUpdated {
    /// The room.
    pub room: Room,
}

/// Somebody joined or left a room, or got another role there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMemberChanged {
    /// The room.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// What the user may do there now; `null` for who is no longer a member.
    pub role: Option<RoomRole>,
}

/// News in a room that this connection isn't subscribed to; several may come as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomUnread {
    /// The room.
    pub room_id: RoomId,
    /// The `seq` of the last event.
    pub head_seq: u64,
    /// Messages of others that one hasn't read.
    pub unread: u64,
}
