//! Events from outside: what other programs of an organisation may send to connected clients.
//!
//! What must stay true: no such event can be mistaken for one of this protocol, or for one that a client library raises
//! itself, and none reaches a topic of the server's own. Topics are allowed by a list and event names refused by family, so
//! that later events and topics are safe by default.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{self, RoomId, UserId};
use crate::limits::{PUBLISH_DATA_MAX, PUBLISH_EVENT_MAX};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// The namespaces that events from outside may be of.
pub const PUBLISH_NAMESPACES: [&str; 1] = ["/"];

/// What stands before the colon in the contract's event names, those of later versions included.
const FAMILIES: [&str; 13] = [
    "admin",
    "cache",
    "dashboard",
    "image",
    "message",
    "notification",
    "order",
    "presence",
    "read",
    "room",
    "server",
    "session",
    "typing",
];

/// The contract's names without a colon, and those that Socket.IO's clients, present and earlier ones, raise by
/// themselves.
const RESERVED: [&str; 17] = [
    "resync",
    "connect",
    "connect_error",
    "connect_timeout",
    "connecting",
    "disconnect",
    "disconnecting",
    "error",
    "newlistener",
    "removelistener",
    "ping",
    "pong",
    "reconnect",
    "reconnecting",
    "reconnect_attempt",
    "reconnect_error",
    "reconnect_failed",
];

/// Publishes an event to connected clients. It isn't stored for others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishRequest {
    /// The namespace of the clients.
    #[schemars(extend("enum" = PUBLISH_NAMESPACES))]
    pub namespace: String,
    /// The recipients.
    pub to: PublishTo,
    /// The event's name. Names of the server's own events are reserved.
    #[schemars(length(min = 1, max = PUBLISH_EVENT_MAX), regex(pattern = "^[A-Za-z0-9_:./-]([A-Za-z0-9 _:./-]*[A-Za-z0-9_:./-])?$"))]
    pub event: String,
    /// The payload; at most 64 KiB as JSON.
    pub data: Value,
}

/// The recipients of a published event: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = absent_not_null, extend("minProperties" = 1, "maxProperties" = 1))]
pub struct PublishTo {
    /// The subscribers of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// Every connection of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The subscribers of a topic: `room:…`, `user:…`, `order:…` or `orders:live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// A topic that events from outside may reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PublicTopic {
    /// `room:…`.
    Room(RoomId),
    /// `user:…`.
    User(UserId),
    /// `order:…`.
    Order(Box<str>),
    /// `orders:live`.
    LiveOrders,
}

/// The text isn't the name of a topic that events from outside may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected room:, user: or order: and an id, or orders:live")]
pub struct NoPublicTopic;

impl FromStr for PublicTopic {
    type Err = NoPublicTopic;

    fn from_str(text: &str) -> Result<Self, NoPublicTopic> {
        if text == "orders:live" {
            return Ok(Self::LiveOrders);
        }
        let (kind, name) = text.split_once(':').ok_or(NoPublicTopic)?;
        match kind {
            "room" => name.parse().map(Self::Room).map_err(|_| NoPublicTopic),
            "user" => name.parse().map(Self::User).map_err(|_| NoPublicTopic),
            "order" if id::well_formed(name) => Ok(Self::Order(name.into())),
            _ => Err(NoPublicTopic),
        }
    }
}

impl TryFrom<String> for PublicTopic {
    type Error = NoPublicTopic;

    fn try_from(text: String) -> Result<Self, NoPublicTopic> {
        text.parse()
    }
}

impl From<PublicTopic> for String {
    fn from(topic: PublicTopic) -> Self {
        topic.to_string()
    }
}

impl fmt::Display for PublicTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => write!(f, "room:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Order(id) => write!(f, "order:{id}"),
            Self::LiveOrders => f.write_str("orders:live"),
        }
    }
}

/// Checks the name of an event from outside.
///
/// ASCII alone, so that no name looks like another, and compared without regard to case.
///
/// # Errors
/// Naming `event`.
pub fn published_event(name: &str) -> Result<(), Invalid> {
    let invalid = |message: String| Err(Invalid::new("event", message));
    if !(1..=PUBLISH_EVENT_MAX).contains(&name.len()) {
        return invalid(format!("expected 1 to {PUBLISH_EVENT_MAX} characters"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" _:./-".contains(&byte);
    if !name.bytes().all(allowed) || name.trim() != name {
        return invalid(
            "expected letters a to z, digits, `_`, `:`, `.`, `/`, `-`, and spaces inside only"
                .to_owned(),
        );
    }
    let name = name.to_ascii_lowercase();
    let family = name.split_once(':').map(|(family, _)| family.trim());
    if family.is_some_and(|family| FAMILIES.contains(&family)) || RESERVED.contains(&&*name) {
        return invalid("is a name of the server's own events".to_owned());
    }
    Ok(())
}

impl PublishTo {
    /// The topic that is meant.
    ///
    /// # Errors
    /// If it isn't exactly one, or not one of those.
    pub fn topic(&self) -> Result<PublicTopic, Invalid> {
        match (&self.room, &self.user, &self.topic) {
            (Some(room), None, None) => Ok(PublicTopic::Room(room.clone())),
            (None, Some(user), None) => Ok(PublicTopic::User(user.clone())),
            (None, None, Some(topic)) => topic
                .parse()
                .map_err(|error: NoPublicTopic| Invalid::new("to.topic", error.to_string())),
            _ => Err(Invalid::new(
                "to",
                "expected exactly one of room, user and topic",
            )),
        }
    }
}

impl Request for PublishRequest {
    fn validate(&self) -> Result<(), Invalid> {
        if !PUBLISH_NAMESPACES.contains(&&*self.namespace) {
            let message = format!("expected one of {}", PUBLISH_NAMESPACES.join(", "));
            return Err(Invalid::new("namespace", message));
        }
        self.to.topic()?;
        published_event(&self.event)?;
        if self.data.to_string().len() > PUBLISH_DATA_MAX {
            let message = format!("expected at most {PUBLISH_DATA_MAX} bytes of JSON");
            return Err(Invalid::new("data", message));
        }
        Ok(())
    }
}
