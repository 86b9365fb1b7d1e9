//! Sessions as their user sees them: one sign-in of one device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::SessionId;
use crate::timestamp::Timestamp;

/// One sign-in of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Never changes.
    pub id: SessionId,
    /// What the device called itself when it signed in.
    pub device: String,
    /// The network address it was last seen at.
    pub address: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// Whether it is the session that asks.
    pub current: bool,
}

/// The sessions of the user who asks, the last seen first. They are few: all come at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Always false.
    pub has_more: bool,
}
