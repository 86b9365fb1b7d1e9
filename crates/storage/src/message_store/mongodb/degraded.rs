//! Rooms that were written to without Redis. Nobody hears of that on the bus, and the rooms that Redis names as written
//! to lately don't include them: so they are named in a collection, which is normally empty and which every instance
//! reads.

use std::time::Duration;

use futures_util::StreamExt;
use mongodb::bson::doc;
use protocol::RoomId;
use redis_client::partition_of;
use serde::Deserialize;

use super::MongoStore;
use super::collections::all;
use super::documents::stored_seq;
use super::failure::{Outcome, bounded};

/// How far back is told, by the clock of the server.
const RECENT_MS: i64 = 10_000;

/// How long a room stays named. The server looks for what is older once a minute.
pub(super) const NAMED_FOR: Duration = Duration::from_secs(60);

/// How long, and how often, it is tried to name rooms when the first try failed.
const RETRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Rooms that are named at once.
const AT_ONCE: usize = 16;

/// Rooms that are told at most.
const TOLD: i64 = 10_000;

impl MongoStore {
    /// Names rooms as written to up to these places. What can't be named now is named later, beside.
    pub(super) async fn name_degraded(&self, rooms: Vec<(RoomId, u64)>) {
        let mut failed = self.upsert_all(rooms).await;
        if failed.is_empty() {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            for _ in 0..RETRIES {
                tokio::time::sleep(PAUSE).await;
                failed = store.upsert_all(failed).await;
                if failed.is_empty() {
                    return;
                }
            }
            tracing::warn!(
                rooms = failed.len(),
                "rooms that were written to couldn't be named"
            );
        });
    }

    /// Those of the rooms that couldn't be named.
    async fn upsert_all(&self, rooms: Vec<(RoomId, u64)>) -> Vec<(RoomId, u64)> {
        futures_util::stream::iter(rooms)
            .map(|(room, seq)| async move {
                let named = self.upsert_degraded(&room, seq).await;
                named.is_err().then_some((room, seq))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn upsert_degraded(&self, room: &RoomId, seq: u64) -> Outcome<()> {
        let degraded = &self.collections().await?.degraded_heads;
        let raise = doc! {
            "$max": { "seq": stored_seq(seq) },
            "$currentDate": { "at": true },
        };
        let upsert = degraded
            .update_one(doc! { "_id": room.as_str() }, raise)
            .upsert(true);
        bounded(upsert).await?;
        Ok(())
    }

    /// Rooms of these partitions that were written to without Redis lately.
    pub(super) async fn degraded(&self, partitions: &[u16]) -> Outcome<Vec<(RoomId, u64)>> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "_id")]
            room: RoomId,
            seq: i64,
        }
        let degraded = &self.collections().await?.degraded_heads;
        let degraded = degraded.clone_with_type::<Named>();
        let since = doc! { "$subtract": ["$$NOW", RECENT_MS] };
        let find = degraded
            .find(doc! { "$expr": { "$gte": ["$at", since] } })
            .limit(TOLD);
        let mut rooms: Vec<Named> = all(find).await?;
        rooms.retain(|named| partitions.contains(&partition_of(named.room.as_str())));
        let rooms = rooms.into_iter();
        Ok(rooms
            .map(|named| (named.room, named.seq.unsigned_abs()))
            .collect())
    }
}
