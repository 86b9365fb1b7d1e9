//! Rooms: creating, finding and changing them. Membership is in `member.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bounds;
use crate::epoch::Epoch;
use crate::id::{RoomId, UserId};
use crate::limits::{PAGE_MAX, ROOM_INITIAL_MEMBERS_MAX, ROOM_NAME_MAX, SEARCH_QUERY_MAX};
use crate::member::RoomRole;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;

/// Who may find and join a room.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Anyone can find and join it.
    Public,
    /// Only its members can see it.
    Private,
    /// A conversation of two users. Each pair has at most one.
    Direct,
}

/// A room, as you see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct Room {
    /// Never changes.
    pub id: RoomId,
    /// The name. Empty for a direct room: show the other user's name instead.
    pub name: String,
    /// Who may find and join it.
    pub kind: RoomKind,
    /// When it was created.
    pub created_at: Timestamp,
    /// The number of members.
    pub member_count: u64,
    /// The `seq` of the last event; 0 in a new room.
    pub head_seq: u64,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// Your role. Absent if you aren't a member, and in events that go to all members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoomRole>,
    /// The `seq` that you have read up to. Absent when `role` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
    /// The number of others' messages after `readSeq`. Absent when `role` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
}

/// A response with one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoomBody {
    /// The room.
    pub room: Room,
}

/// A page of rooms, ordered by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomPage {
    /// The rooms.
    pub rooms: Vec<Room>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

/// Creates a room, or returns the direct room that two users already have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("if" = direct(), "then" = of_two(), "else" = named()))]
pub struct CreateRoom {
    /// The name; a direct room needs none. Leading and trailing white space is removed.
    #[serde(
        default,
        deserialize_with = "bounds::shown_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = ROOM_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub name: Option<String>,
    /// Who may find and join it.
    pub kind: RoomKind,
    /// The members besides the creator; for a direct room, the other user.
    #[serde(
        default,
        deserialize_with = "bounds::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(with = "Option<Vec<UserId>>", length(max = ROOM_INITIAL_MEMBERS_MAX))]
    pub members: Vec<UserId>,
}

impl Request for CreateRoom {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::at_most("members", &self.members, ROOM_INITIAL_MEMBERS_MAX)?;
        match self.kind {
            // The creator may be among them.
            RoomKind::Direct if !(1..=2).contains(&self.members.len()) => Err(Invalid::new(
                "members",
                "expected the other one of a direct room",
            )),
            RoomKind::Direct => Ok(()),
            RoomKind::Public | RoomKind::Private => match &self.name {
                Some(name) => bounds::room_name("name", name),
                None => Err(Invalid::new("name", "is required")),
            },
        }
    }
}

/// Of a request for a room: it's for a direct one.
fn direct() -> Value {
    json!({ "required": ["kind"], "properties": { "kind": { "const": RoomKind::Direct } } })
}

/// What such a request needs: the other one.
fn of_two() -> Value {
    json!({
        "required": ["members"],
        "properties": { "members": { "type": "array", "minItems": 1, "maxItems": 2 } },
    })
}

/// What every other one needs.
fn named() -> Value {
    json!({ "required": ["name"], "properties": { "name": { "type": "string" } } })
}

/// Updates a room. Absent fields don't change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRoom {
    /// The name. Leading and trailing white space is removed.
    #[serde(
        default,
        deserialize_with = "bounds::shown_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = ROOM_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub name: Option<String>,
}

impl Request for UpdateRoom {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::given("name", self.name.as_ref(), bounds::room_name)
    }
}

/// Lists public rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListRooms {
    /// A part of the name, ignoring case, width and accents. One or two letters of a script that has spaces
    /// between its words are looked for at the beginning.
    #[serde(
        default,
        deserialize_with = "bounds::trimmed_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: Option<String>,
    /// The id of the last room of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<RoomId>,
    /// The most rooms to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListRooms {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::given("query", self.query.as_ref(), bounds::query)?;
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// Lists your rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListMyRooms {
    /// The id of the last room of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<RoomId>,
    /// The most rooms to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListMyRooms {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// A room's name, kind or number of members changed. What the room is to one member is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomUpdated {
    /// The room.
    pub room: Room,
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
