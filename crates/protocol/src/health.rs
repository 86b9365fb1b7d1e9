//! What the health routes answer, for orchestrators and people.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::absent_not_null;

/// How well something works.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It works.
    Ok,
    /// It works in part.
    Degraded,
    /// It doesn't work.
    Unavailable,
}

/// The health of the server and of each thing that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// The worst of what the server can't do without.
    pub status: HealthStatus,
    /// The version of the server.
    pub version: String,
    /// How long it has run, in seconds.
    pub uptime_seconds: u64,
    /// Each thing that was looked at, by name; empty where only the process itself is asked for.
    pub checks: BTreeMap<String, HealthCheck>,
}

/// The health of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct HealthCheck {
    /// How well it works.
    pub status: HealthStatus,
    /// How long the look took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
