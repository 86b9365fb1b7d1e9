//! Presence, typing indicators and read receipts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::id::{RoomId, UserId};
use crate::limits::{ONLINE_MAX, SEQ_MAX};
use crate::request::{Invalid, Request};

/// Says that one is writing, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetTyping {
    /// The room.
    pub room_id: RoomId,
    /// Whether one is writing.
    pub on: bool,
}

impl Request for SetTyping {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Somebody is writing, or no longer. May be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypingChanged {
    /// The room.
    pub room_id: RoomId,
    /// The user.
    pub user_id: UserId,
    /// Whether the user is writing.
    pub on: bool,
}

/// Says how far one has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetRead {
    /// The room.
    pub room_id: RoomId,
    /// The last `seq` that was read; one below what was read before changes nothing.
    #[schemars(range(max = SEQ_MAX))]
    pub seq: u64,
}

impl Request for SetRead {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::seen("seq", self.seq)
    }
}

/// The answer to `read:set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadAccepted {
    /// How far one has read now.
    pub read_seq: u64,
    /// Messages of others after that.
    pub unread: u64,
}

/// A user has read further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadChanged {
    /// The room.
    pub room_id: RoomId,
    /// The user.
    pub user_id: UserId,
    /// The last `seq` that the user has read.
    pub seq: u64,
}

/// Gets the members of a room who are online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetPresence {
    /// The room.
    pub room_id: RoomId,
}

impl Request for GetPresence {
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The members who are online, by user rather than by connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The exact number.
    pub count: u64,
    /// The users; in large rooms not all of them.
    #[schemars(length(max = ONLINE_MAX))]
    pub online: Vec<UserId>,
}

/// A member went online or offline. Delivered at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceChanged {
    /// The room.
    pub room_id: RoomId,
    /// The user.
    pub user_id: UserId,
    /// Whether the user is online.
    pub online: bool,
}

/// How many members are online, in rooms where each coming and going would be too much to tell.
/// May be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceCount {
    /// The room.
    pub room_id: RoomId,
    /// How many.
    pub count: u64,
}
