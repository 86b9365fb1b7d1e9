//! Keys with which other programs use the API, as administrators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::id::ApiKeyId;
use crate::limits::DISPLAY_NAME_MAX;
use crate::publish::PUBLISH_NAMESPACES;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;
use crate::secret::Secret;
use crate::timestamp::Timestamp;

/// Scopes of one key.
const SCOPES_MAX: usize = 8;

/// A key of another program, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ApiKey {
    /// Part of the key.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// What it allows: `publish`, or `publish:` and a namespace.
    pub scopes: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used, if it was; some seconds late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// The keys, the oldest first. All are returned at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Always false.
    pub has_more: bool,
}

/// Creates a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateApiKey {
    /// What it is for. Leading and trailing white space is removed.
    #[serde(deserialize_with = "bounds::shown")]
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX), regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,
    /// What it allows: `publish` to every namespace, or `publish:` and a namespace such as `publish:/`.
    #[schemars(length(min = 1, max = SCOPES_MAX))]
    pub scopes: Vec<String>,
}

impl Request for CreateApiKey {
    fn validate(&self) -> Result<(), Invalid> {
        bounds::display_name("name", &self.name)?;
        if self.scopes.is_empty() || self.scopes.len() > SCOPES_MAX {
            return Err(Invalid::new("scopes", "expected 1 to 8 scopes"));
        }
        let is_known = |scope: &String| match scope.strip_prefix("publish:") {
            Some(namespace) => PUBLISH_NAMESPACES.contains(&namespace),
            None => scope == "publish",
        };
        if self.scopes.iter().all(is_known) {
            Ok(())
        } else {
            let message = "expected publish, or publish: and a namespace such as publish:/";
            Err(Invalid::new("scopes", message))
        }
    }
}

/// A new key. The key itself isn't shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyCreated {
    /// What is kept of it.
    pub key: ApiKey,
    /// The key itself, for `Authorization: Bearer`.
    pub secret: Secret,
}
