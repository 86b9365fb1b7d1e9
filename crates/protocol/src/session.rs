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
    /// The device's `User-Agent` at sign-in.
    pub device: String,
    /// The network address at which it was last seen.
    pub address: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// Whether this is the current session.
    pub current: bool,
}

/// Your sessions, most recently seen first. All are returned at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Always false.
    pub has_more: bool,
}
