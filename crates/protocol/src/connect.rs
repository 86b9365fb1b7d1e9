//! The beginning and the end of a connection: what a client sends to connect, how it is refused,
//! and what it is sent when it has to reconnect or stay away.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::epoch::Epoch;
use crate::error::{ErrorBody, ErrorCode};
use crate::id::RoomId;
use crate::limits::{RESUME_ROOMS_MAX, SEQ_MAX, TOKEN_MAX};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::secret::Secret;

/// The `auth` of a connection to a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectAuth {
    /// The access token.
    #[schemars(with = "String", length(min = 1, max = TOKEN_MAX))]
    pub token: Secret,
    /// Rooms to resubscribe, by id. Missed events are sent before newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = RESUME_ROOMS_MAX))]
    pub resume: Option<BTreeMap<RoomId, ResumePoint>>,
}

impl Request for ConnectAuth {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::characters("token", self.token.expose(), 1, TOKEN_MAX)?;
        let Some(rooms) = &self.resume else {
            return Ok(());
        };
        if rooms.len() > RESUME_ROOMS_MAX {
            let message = format!("expected at most {RESUME_ROOMS_MAX} rooms");
            return Err(Invalid::new("resume", message));
        }
        for (room, point) in rooms {
            bounds::seen(&format!("resume.{room}.seq"), point.seq)?;
        }
        Ok(())
    }
}

/// A client's position in a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumePoint {
    /// The last `seq` that the client has.
    #[schemars(range(max = SEQ_MAX))]
    pub seq: u64,
    /// The epoch that `seq` belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// Why a connection to a namespace was refused for good: the payload of `CONNECT_ERROR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectRefused {
    /// An explanation for developers.
    pub message: String,
    /// The error code, for programs.
    pub data: ConnectRefusedData,
}

/// What the official clients show as `error.data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectRefusedData {
    /// The error code, for programs.
    pub code: ErrorCode,
    /// An explanation for developers.
    pub message: String,
}

impl From<ErrorBody> for ConnectRefused {
    fn from(error: ErrorBody) -> Self {
        let message = error.message.into_owned();
        Self {
            message: message.clone(),
            data: ConnectRefusedData {
                code: error.code,
                message,
            },
        }
    }
}

/// The replay of one room after a reconnect has ended, or the room is no longer accessible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RoomResumed {
    /// The room is subscribed.
    Resumed(ResumedRoom),
    /// The room isn't subscribed.
    Lost(LostRoom),
}

/// A room that was resubscribed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ResumedRoom {
    /// The room.
    pub room_id: RoomId,
    /// The `seq` of the last event that the client now has.
    pub head_seq: u64,
    /// Whether all missed events were replayed. If not, get the rest with `room:events`.
    pub complete: bool,
    /// Always true where present: the epoch of the room has changed, so reload the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<bool>,
}

/// A room that couldn't be resubscribed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostRoom {
    /// The room.
    pub room_id: RoomId,
    /// Why.
    pub error: ErrorBody,
}

/// This connection fell behind and missed events. Send `room:join` with the last `seq` you have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resync {
    /// The room.
    pub room_id: RoomId,
    /// The `seq` of the room's last event.
    pub head_seq: u64,
}

/// The server is shutting down; the transport closes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDraining {
    /// How long to wait before reconnecting, in milliseconds. Different for every connection.
    pub reconnect_after_ms: u64,
}

/// The session has ended; the server disconnects next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRevoked {}
