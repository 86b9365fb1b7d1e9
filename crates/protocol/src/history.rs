//! Reading a room back: messages in their present state, the log's events, and search.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::bounds;
use crate::id::RoomId;
use crate::limits::{EVENTS_MAX, HISTORY_MAX, SEARCH_MAX, SEARCH_QUERY_MAX, SEQ_MAX};
use crate::message::Message;
use crate::request::{Invalid, Request};
use crate::room_event::RoomEvent;
use crate::schema::absent_not_null;

/// Gets a page of messages: the newest, those just before a `seq`, or those just after one.
/// With both `before` and `after`, the page begins at `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRequest {
    /// The room.
    pub room_id: RoomId,
    /// Only messages with a smaller `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub before: Option<u64>,
    /// Only messages with a larger `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub after: Option<u64>,
    /// The most messages to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = HISTORY_MAX))]
    pub limit: Option<u32>,
}

impl Request for HistoryRequest {
    fn validate(&self) -> Result<(), Invalid> {
        history_page(self.before, self.after, self.limit)
    }
}

/// The same as a query string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct HistoryQuery {
    /// Only messages with a smaller `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub before: Option<u64>,
    /// Only messages with a larger `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub after: Option<u64>,
    /// The most messages to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = HISTORY_MAX))]
    pub limit: Option<u32>,
    /// The message fields to return, separated by commas; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<MessageFields>,
}

impl Request for HistoryQuery {
    fn validate(&self) -> Result<(), Invalid> {
        history_page(self.before, self.after, self.limit)
    }
}

fn history_page(
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<u32>,
) -> Result<(), Invalid> {
    before.map_or(Ok(()), |seq| bounds::seen("before", seq))?;
    after.map_or(Ok(()), |seq| bounds::seen("after", seq))?;
    bounds::limit(limit, HISTORY_MAX)
}

/// A page of messages, ascending. It ends at `limit` messages or 1 MiB, whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// The messages in their current state.
    pub messages: Vec<Message>,
    /// Whether there are more in the requested direction.
    pub has_more: bool,
}

/// What a page of messages is answered with: whole messages, or of each the fields that were asked for.
pub(crate) fn message_page(generator: &mut SchemaGenerator) -> Schema {
    let whole = generator.subschema_for::<MessagePage>();
    let selected = generator.subschema_for::<SelectedPage>();
    json_schema!({ "anyOf": [whole, selected] })
}

/// A page of messages with only the requested fields.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what is written field by field")]
struct SelectedPage {
    /// The messages in their current state.
    messages: Vec<SelectedMessage>,
    /// Whether there are more in the requested direction.
    has_more: bool,
}

/// The requested fields that the message has.
#[allow(dead_code, reason = "as above")]
struct SelectedMessage;

impl JsonSchema for SelectedMessage {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SelectedMessage".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut message = Message::json_schema(generator);
        message.remove("required");
        message
    }
}

/// Gets events of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsRequest {
    /// The room.
    pub room_id: RoomId,
    /// Only events with a larger `seq`.
    #[schemars(range(max = SEQ_MAX))]
    pub after: u64,
    /// The most events to return; 500 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = EVENTS_MAX))]
    pub limit: Option<u32>,
}

impl Request for EventsRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::seen("after", self.after)?;
        bounds::limit(self.limit, EVENTS_MAX)
    }
}

/// The same as a query string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct EventsQuery {
    /// Only events with a larger `seq`; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub after: Option<u64>,
    /// The most events to return; 500 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = EVENTS_MAX))]
    pub limit: Option<u32>,
}

impl Request for EventsQuery {
    fn validate(&self) -> Result<(), Invalid> {
        self.after
            .map_or(Ok(()), |after| bounds::seen("after", after))?;
        bounds::limit(self.limit, EVENTS_MAX)
    }
}

/// A page of a room's log, ascending and without gaps. It ends at `limit` events or 1 MiB, whichever comes first.
// Generic for the same reason as `RoomJoined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EventPage")]
pub struct EventPage<E = RoomEvent> {
    /// The events.
    pub events: Vec<E>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

/// Searches a room's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchRequest {
    /// The room.
    pub room_id: RoomId,
    /// Words that must all be in the message, ignoring case, width and accents. The last one may be the beginning of a
    /// word. In scripts without spaces between words any part is found; so are symbols and emoji.
    #[serde(deserialize_with = "bounds::trimmed")]
    #[schemars(length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: String,
    /// Only messages with a smaller `seq`: pass the last one of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub before: Option<u64>,
    /// The most messages to return; 20 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEARCH_MAX))]
    pub limit: Option<u32>,
}

impl Request for SearchRequest {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::query("query", &self.query)?;
        self.before
            .map_or(Ok(()), |seq| bounds::seen("before", seq))?;
        bounds::limit(self.limit, SEARCH_MAX)
    }
}

/// The same as a query string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct SearchQuery {
    /// Words that must all be in the message, ignoring case, width and accents. The last one may be the beginning of a
    /// word. In scripts without spaces between words any part is found; so are symbols and emoji.
    #[serde(deserialize_with = "bounds::trimmed")]
    #[schemars(length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: String,
    /// Only messages with a smaller `seq`: pass the last one of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub before: Option<u64>,
    /// The most messages to return; 20 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = SEARCH_MAX))]
    pub limit: Option<u32>,
}

impl Request for SearchQuery {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::query("query", &self.query)?;
        self.before
            .map_or(Ok(()), |seq| bounds::seen("before", seq))?;
        bounds::limit(self.limit, SEARCH_MAX)
    }
}

/// The messages that were found, newest first. A page ends at `limit` messages or 1 MiB, whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesFound {
    /// The messages in their current state.
    pub messages: Vec<Message>,
    /// Whether there are more before the last.
    pub has_more: bool,
}

/// Some of the fields of a message, written as a list with commas: `id,seq,body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFields(Vec<&'static str>);

impl MessageFields {
    /// Every field that a message can have.
    pub const ALL: [&'static str; 12] = [
        "id",
        "roomId",
        "seq",
        "sender",
        "body",
        "at",
        "clientId",
        "replyTo",
        "attachments",
        "editedAt",
        "deletedAt",
        "reactions",
    ];

    /// A message with only these fields, or those of them that it has.
    pub fn select(&self, message: &Message) -> Result<Map<String, Value>, serde_json::Error> {
        let Value::Object(mut fields) = serde_json::to_value(message)? else {
            return Ok(Map::new());
        };
        fields.retain(|name, _| self.0.contains(&name.as_str()));
        Ok(fields)
    }
}

impl fmt::Display for MessageFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Serialize for MessageFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut fields = Vec::new();
        for name in text.split(',').map(str::trim) {
            let Some(field) = Self::ALL.into_iter().find(|field| *field == name) else {
                return Err(serde::de::Error::custom(format_args!(
                    "expected names of a message's fields with commas between: {}",
                    Self::ALL.join(", ")
                )));
            };
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Ok(Self(fields))
    }
}

impl JsonSchema for MessageFields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MessageFields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = Self::ALL.join("|");
        json_schema!({ "type": "string", "pattern": format!(r"^\s*({name})\s*(,\s*({name})\s*)*$") })
    }
}
