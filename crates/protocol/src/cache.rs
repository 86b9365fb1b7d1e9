//! What clients are told of values that they may keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was read before under this key is outdated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheInvalidated {
    /// A kind and an id, such as `user:` and a user's; or the kind alone, for everything of that kind.
    pub key: String,
}
