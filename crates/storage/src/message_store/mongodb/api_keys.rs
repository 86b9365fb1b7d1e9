//! Keys of other programs.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, doc};
use protocol::{ApiKeyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::{API_KEYS_MAX, ApiKeyHash, StoredApiKey, too_many_api_keys};
use super::database::Database;
use super::failure::{Outcome, bounded};
use super::query::all;
use super::transaction::to_the_end;
use super::values::{time, timestamp};
use crate::StoreError;

/// Makes, lists and deletes keys. Cloning shares it.
#[derive(Clone)]
pub struct ApiKeys {
    pub database: Database,
}

/// A key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyDocument {
    #[serde(rename = "_id")]
    id: ApiKeyId,
    name: String,
    scopes: Vec<String>,
    hash: Binary,
    created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<DateTime>,
}

impl ApiKeyDocument {
    fn new(key: StoredApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            hash: Binary {
                subtype: BinarySubtype::Generic,
                bytes: key.hash.0.to_vec(),
            },
            created_at: time(key.created_at),
            last_used_at: key.last_used_at.map(time),
        }
    }

    /// `None` if its hash is none.
    fn stored(self) -> Option<StoredApiKey> {
        Some(StoredApiKey {
            id: self.id,
            name: self.name,
            scopes: self.scopes,
            hash: ApiKeyHash(self.hash.bytes.try_into().ok()?),
            created_at: timestamp(self.created_at),
            last_used_at: self.last_used_at.map(timestamp),
        })
    }
}

impl ApiKeys {
    pub async fn create_api_key(&self, key: StoredApiKey) -> Result<(), StoreError> {
        let database = self.database.clone();
        to_the_end(async move {
            let keys = &database.collections().await?.api_keys;
            if bounded(keys.count_documents(doc! {})).await? >= API_KEYS_MAX {
                return Err(too_many_api_keys().into());
            }
            bounded(keys.insert_one(ApiKeyDocument::new(key)))
                .await
                .map(drop)
        })
        .await
    }

    pub async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        Ok(self.list().await?)
    }

    async fn list(&self) -> Outcome<Vec<StoredApiKey>> {
        let keys = &self.database.collections().await?.api_keys;
        let found = all(keys.find(doc! {}).sort(doc! { "createdAt": 1, "_id": 1 })).await?;
        Ok(found
            .into_iter()
            .filter_map(ApiKeyDocument::stored)
            .collect())
    }

    pub async fn delete_api_key(&self, id: &ApiKeyId) -> Result<(), StoreError> {
        let (database, id) = (self.database.clone(), id.clone());
        to_the_end(async move {
            let keys = &database.collections().await?.api_keys;
            let delete = keys.delete_one(doc! { "_id": id.as_str() });
            match bounded(delete).await?.deleted_count {
                0 => Err(StoreError::NotFound.into()),
                _ => Ok(()),
            }
        })
        .await
    }

    pub async fn touch_api_keys(&self, used: Vec<(ApiKeyId, Timestamp)>) -> Result<(), StoreError> {
        let database = self.database.clone();
        to_the_end(async move {
            let keys = &database.collections().await?.api_keys;
            for (id, at) in used {
                let later = doc! { "$max": { "lastUsedAt": time(at) } };
                bounded(keys.update_one(doc! { "_id": id.as_str() }, later)).await?;
            }
            Ok(())
        })
        .await
    }
}
