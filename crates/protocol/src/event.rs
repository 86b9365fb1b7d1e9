//! Event names and their payloads. A name is tied to its types in the two tables here and nowhere
//! else, so that server, tests and documents can't disagree.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cache::CacheInvalidated;
use crate::connect::{Resync, RoomResumed, ServerDraining, SessionRevoked};
use crate::error::ErrorCode::{self, Conflict, Forbidden, NotFound};
use crate::history::{
    EventPage, EventsRequest, HistoryRequest, MessagePage, MessagesFound, SearchRequest,
};
use crate::member::{JoinRoom, LeaveRoom, RoomJoined, RoomMemberChanged};
use crate::message::{
    ChangeAccepted, DeleteMessage, EditAccepted, EditMessage, Message, MessageSent, ReactToMessage,
    SendMessage,
};
use crate::notification::{
    ListNotifications, Notification, NotificationPage, NotificationsRead, ReadNotifications,
    UnreadNotifications,
};
use crate::presence::{
    GetPresence, Presence, PresenceChanged, PresenceCount, ReadAccepted, ReadChanged, SetRead,
    SetTyping, TypingChanged,
};
use crate::request::Request;
use crate::room::{CreateRoom, RoomBody, RoomUnread, RoomUpdated};
use crate::room_event::{
    ImageFailed, ImageReady, MessageDeleted, MessageEdited, MessageReacted, RoomVoid,
};
use crate::schema::{SchemaOf, schema_of};
use crate::upload::{ImageAccepted, ImageAck, UploadImage};

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

/// A row of [`CLIENT_EVENTS`] or [`NOTIFICATION_REQUESTS`].
#[derive(Debug, Clone, Copy)]
pub struct ClientEventRow {
    /// The name on the wire.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The payload.
    pub payload: SchemaOf,
    /// What the ack holds beside `ok`.
    pub ack: SchemaOf,
    /// Why it may be refused, beside [`EVERY_EVENT_REFUSES`].
    pub errors: &'static [ErrorCode],
}

/// A row of [`SERVER_EVENTS`] or [`NOTIFICATION_EVENTS`].
#[derive(Debug, Clone, Copy)]
pub struct ServerEventRow {
    /// The name on the wire.
    pub name: &'static str,
    /// What it tells.
    pub summary: &'static str,
    /// The payload.
    pub payload: SchemaOf,
}

/// Why any client event may be refused.
pub const EVERY_EVENT_REFUSES: [ErrorCode; 4] = [
    ErrorCode::Invalid,
    ErrorCode::RateLimited,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
];

macro_rules! client_events {
    ($(#[$doc:meta])* $table:ident: $($name:literal $payload:ty => $ack:ty, $summary:literal, [$($error:ident),*];)+) => {
        $(impl ClientEvent for $payload {
            const NAME: &'static str = $name;
            type Ack = $ack;
        })+

        $(#[$doc])*
        pub const $table: &[ClientEventRow] = &[$(ClientEventRow {
            name: $name,
            summary: $summary,
            payload: schema_of::<$payload>,
            ack: schema_of::<$ack>,
            errors: &[$($error),*],
        }),+];
    };
}

client_events! {
    /// Every event that a client may send in the namespace `/`.
    CLIENT_EVENTS:
    "room:create" CreateRoom => RoomBody,
        "Create a room; its creator becomes a member and is subscribed", [Forbidden, NotFound];
    "room:join" JoinRoom => RoomJoined,
        "Join a room, subscribe this connection and get missed events", [NotFound];
    "room:leave" LeaveRoom => Done,
        "Leave a room and unsubscribe", [NotFound, Conflict];
    "room:events" EventsRequest => EventPage,
        "Get a page of a room's event log", [NotFound];
    "message:send" SendMessage => MessageSent,
        "Send a message; a successful ack means that it is stored durably", [Forbidden, NotFound, Conflict];
    "message:edit" EditMessage => EditAccepted,
        "Edit your own message", [Forbidden, NotFound, Conflict];
    "message:delete" DeleteMessage => ChangeAccepted,
        "Delete a message", [Forbidden, NotFound];
    "message:react" ReactToMessage => ChangeAccepted,
        "Add or remove a reaction", [Forbidden, NotFound, Conflict];
    "message:history" HistoryRequest => MessagePage,
        "Get a page of messages in their current state", [NotFound];
    "message:search" SearchRequest => MessagesFound,
        "Search a room's messages", [NotFound];
    "image:upload" UploadImage => ImageAccepted,
        "Send a small image as a message", [Forbidden, NotFound, Conflict];
    "typing:set" SetTyping => Done,
        "Report that you started or stopped typing", [Forbidden, NotFound];
    "read:set" SetRead => ReadAccepted,
        "Mark a room as read up to a `seq`", [Forbidden, NotFound];
    "presence:get" GetPresence => Presence,
        "Get the members who are online", [NotFound];
}

client_events! {
    /// Those that it may send in the namespace `/notifications`.
    NOTIFICATION_REQUESTS:
    "notification:list" ListNotifications => NotificationPage,
        "Get a page of your notifications", [NotFound];
    "notification:read" ReadNotifications => UnreadNotifications,
        "Mark notifications as read on all your devices", [NotFound];
}

macro_rules! server_events {
    ($(#[$doc:meta])* $table:ident: $($name:literal $payload:ty, $summary:literal;)+) => {
        $(impl ServerEvent for $payload {
            const NAME: &'static str = $name;
        })+

        $(#[$doc])*
        pub const $table: &[ServerEventRow] = &[$(ServerEventRow {
            name: $name,
            summary: $summary,
            payload: schema_of::<$payload>,
        }),+];
    };
}

server_events! {
    /// Every event that the server sends in the namespace `/`.
    SERVER_EVENTS:
    "message:new" Message, "A new message";
    "message:edited" MessageEdited, "A message was edited";
    "message:deleted" MessageDeleted, "A message was deleted";
    "message:reacted" MessageReacted, "A reaction was added or removed";
    "image:ack" ImageAck, "The message of your image is stored";
    "image:ready" ImageReady, "An image of a message can be shown";
    "image:failed" ImageFailed, "An image of a message can't be shown";
    "room:void" RoomVoid, "A `seq` of the log that holds nothing";
    "room:updated" RoomUpdated, "A room was updated";
    "room:member" RoomMemberChanged, "A user joined or left a room, or got another role";
    "room:unread" RoomUnread, "Unread counts changed in a room that this connection isn't subscribed to";
    "room:resumed" RoomResumed, "The replay of a room after a reconnect has ended";
    "typing:changed" TypingChanged, "A user started or stopped typing";
    "read:changed" ReadChanged, "A user has read further";
    "presence:changed" PresenceChanged, "A member went online or offline";
    "presence:count" PresenceCount, "The number of members online in a large room";
    "resync" Resync, "This connection fell behind; send `room:join` with the last `seq` you have";
    "server:draining" ServerDraining, "The server is shutting down; the transport closes next";
    "session:revoked" SessionRevoked, "The session has ended; the server disconnects next";
}

server_events! {
    /// Those that it sends in the namespace `/notifications` alone, beside `server:draining` and `session:revoked`.
    NOTIFICATION_EVENTS:
    "cache:invalidated" CacheInvalidated, "What was read before under this key is outdated";
    "notification:new" Notification, "A new notification";
    "notification:read" NotificationsRead, "Notifications were read, on whatever device";
}

/// The body of an ack that says no more than `ok`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}
