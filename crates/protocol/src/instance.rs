//! The instances of a fleet as administrators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One live instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its id; the ids of its connections begin with it. Another one after every start.
    pub id: String,
    /// Whether this instance answered.
    pub current: bool,
}

/// The live instances, by id. All are returned at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstancePage {
    /// The instances.
    pub instances: Vec<Instance>,
    /// Always false.
    pub has_more: bool,
}
