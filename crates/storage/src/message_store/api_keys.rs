//! Keys with which other programs use the API. Only their hashes are here.

use std::fmt;

use protocol::{ApiKeyId, Timestamp};

use super::{MessageStore, on_backend};
use crate::StoreError;

/// Keys that there may be.
pub(super) const API_KEYS_MAX: u64 = 100;

/// The refusal of more than [`API_KEYS_MAX`].
pub(super) fn too_many_api_keys() -> StoreError {
    StoreError::conflict("keys", "there are 100 already: revoke one first")
}

/// SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyHash(pub [u8; 32]);

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// A key of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApiKey {
    /// Part of the key.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// Of the whole key.
    pub hash: ApiKeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, if it was.
    pub last_used_at: Option<Timestamp>,
}

impl MessageStore {
    /// Stores a new key. `Conflict` naming `keys` beyond 100.
    pub async fn create_api_key(&self, key: StoredApiKey) -> Result<(), StoreError> {
        on_backend!(self, Write: api_keys.create_api_key(key))
    }

    /// All keys, the oldest first.
    pub async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        on_backend!(self, Read: api_keys.api_keys())
    }

    /// Deletes a key. `NotFound` if there is none.
    pub async fn delete_api_key(&self, id: &ApiKeyId) -> Result<(), StoreError> {
        on_backend!(self, Write: api_keys.delete_api_key(id))
    }

    /// Sets when keys were last used; unknown ones are skipped, and an earlier time doesn't replace a later one.
    pub async fn touch_api_keys(&self, used: Vec<(ApiKeyId, Timestamp)>) -> Result<(), StoreError> {
        on_backend!(self, Write: api_keys.touch_api_keys(used))
    }
}
