//! Keys of other programs.

use super::columns::{timestamp, timestamp_option};
use super::{API_KEYS_MAX, ApiKeyHash, SqliteStore, StoredApiKey, too_many_api_keys};
use crate::StoreError;
use crate::sqlite::Transaction;
use protocol::{ApiKeyId, Timestamp};
use rusqlite::{Connection, Row};

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredApiKey> {
    let scopes: String = row.get(2)?;
    Ok(StoredApiKey {
        id: ApiKeyId::trusted(row.get::<_, String>(0)?),
        name: row.get(1)?,
        scopes: scopes.split(' ').map(str::to_owned).collect(),
        hash: ApiKeyHash(row.get(3)?),
        created_at: timestamp(row, 4)?,
        last_used_at: timestamp_option(row, 5)?,
    })
}

impl SqliteStore {
    pub async fn create_api_key(&self, key: StoredApiKey) -> Result<(), StoreError> {
        const COUNT: &str = "SELECT count(*) FROM api_keys";
        const SQL: &str = "
            INSERT INTO api_keys (id, name, scopes, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let write = move |transaction: &Transaction<'_>| {
            let count: u64 = transaction.query_row(COUNT, [], |row| row.get(0))?;
            if count >= API_KEYS_MAX {
                return Err(too_many_api_keys().into());
            }
            transaction.prepare_cached(SQL)?.execute((
                key.id.as_str(),
                &key.name,
                key.scopes.join(" "),
                key.hash.0,
                key.created_at.unix_ms(),
            ))?;
            Ok(())
        };
        self.database.write(write).await
    }

    pub async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        const SQL: &str = "
            SELECT id, name, scopes, hash, created_at, last_used_at FROM api_keys
            ORDER BY created_at, id";
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let keys = statement.query_map([], from_row)?;
            Ok(keys.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn delete_api_key(&self, id: &ApiKeyId) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM api_keys WHERE id = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| match transaction
            .prepare_cached(SQL)?
            .execute([id.as_str()])?
        {
            0 => Err(StoreError::NotFound.into()),
            _ => Ok(()),
        };
        self.database.write(write).await
    }

    pub async fn touch_api_keys(&self, used: Vec<(ApiKeyId, Timestamp)>) -> Result<(), StoreError> {
        const SQL: &str = "
            UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE id = ?1";
        let write = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(SQL)?;
            for (id, at) in &used {
                statement.execute((id.as_str(), at.unix_ms()))?;
            }
            Ok(())
        };
        self.database.write(write).await
    }
}
