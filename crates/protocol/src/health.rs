//! What the health routes answer, for orchestrators and people.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::absent_not_null;

/// A health status.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Healthy.
    Ok,
    /// Partly working.
    Degraded,
    /// Not working.
    Unavailable,
}

/// The health of the server and its dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// The worst status among the required dependencies.
    pub status: HealthStatus,
    /// The version of the server.
    pub version: String,
    /// The uptime, in seconds.
    pub uptime_seconds: u64,
    /// The result of each check, by name. Empty where only the process itself is checked.
    pub checks: BTreeMap<String, HealthCheck>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct HealthCheck {
    /// Its status.
    pub status: HealthStatus,
    /// How long the check took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// What is wrong, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
