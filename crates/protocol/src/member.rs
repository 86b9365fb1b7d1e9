//! Membership in rooms: joining, leaving, and roles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::epoch::Epoch;
use crate::id::{RoomId, UserId};
use crate::limits::{MISSED_MAX, PAGE_MAX, SEARCH_QUERY_MAX, SEQ_MAX};
use crate::request::{Invalid, Request};
use crate::room::Room;
use crate::room_event::RoomEvent;
use crate::schema::absent_not_null;
use crate::timestamp::Timestamp;
use crate::user::User;

/// What a member may do in a room.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RoomRole {
    /// Reads and sends messages.
    Member,
    /// Also deletes others' messages and removes members.
    Moderator,
    /// Also renames and deletes the room and gives roles.
    Owner,
}

/// Leaves a room and unsubscribes this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaveRoom {
    /// The room.
    pub room_id: RoomId,
}

impl Request for LeaveRoom {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Joins a room and subscribes this connection to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinRoom {
    /// The room.
    pub room_id: RoomId,
    /// The last `seq` that the client has. Later events are returned in `missed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = SEQ_MAX))]
    pub since: Option<u64>,
    /// The epoch that `since` belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

impl Request for JoinRoom {
    fn validate(&self) -> Result<(), Invalid> {
        self.since
            .map_or(Ok(()), |since| bounds::seen("since", since))
    }
}

/// The answer to `room:join`. Every later event of the room on this connection has a `seq` above
/// `headSeq`.
// Generic, so that a replay many clients ask for is serialized once: `E` may be a `&RawValue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RoomJoined", transform = absent_not_null)]
pub struct RoomJoined<E = RoomEvent> {
    /// The room.
    pub room: Room,
    /// The `seq` of the last event that the client has once it has read `missed`.
    pub head_seq: u64,
    /// The events after `since` up to `headSeq`, in order; at most 500 and 1 MiB. Empty without `since`.
    #[schemars(length(max = MISSED_MAX))]
    pub missed: Vec<E>,
    /// Whether `missed` holds all of them. If not, get the rest with `room:events`.
    pub complete: bool,
    /// Always true where present: the epoch of the room has changed, so reload the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<bool>,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct RoomMember {
    /// The user.
    pub user: User,
    /// What the member may do in the room.
    pub role: RoomRole,
    /// When the user joined.
    pub joined_at: Timestamp,
    /// The `seq` that the member has read up to. Absent if you aren't a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
}

/// A response with one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberBody {
    /// The member.
    pub member: RoomMember,
}

/// A page of members, ordered by user id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberPage {
    /// The members.
    pub members: Vec<RoomMember>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

/// Lists the members of a room, optionally filtered by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListMembers {
    /// A part of a username or display name, ignoring case and accents; all members unless given. In a room
    /// of more than 1,000 members some that match may be left out, unless it is the whole of a username.
    #[serde(
        default,
        deserialize_with = "bounds::trimmed_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String", length(min = 1, max = SEARCH_QUERY_MAX), regex(pattern = bounds::TRIMMED_PATTERN))]
    pub query: Option<String>,
    /// The user id of the last member of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// The most members to return; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListMembers {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::given("query", self.query.as_ref(), bounds::query)?;
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// Adds a user to a room, or changes a member's role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PutMember {
    /// The member's role. By default a new member becomes a `member`, and an existing one keeps their role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoomRole>,
}

impl Request for PutMember {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// A user joined or left a room, or got another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMemberChanged {
    /// The room.
    pub room_id: RoomId,
    /// The user.
    pub user_id: UserId,
    /// The user's role now; `null` if the user is no longer a member.
    pub role: Option<RoomRole>,
}
