//! Rooms that were written to without Redis. Nobody hears of that on the bus, and the rooms that Redis names as written
//! to lately don't include them: so they are announced in a collection, which is normally empty and which every
//! instance reads.

use std::time::Duration;

use futures_util::StreamExt;
use mongodb::bson::doc;
use protocol::RoomId;
use redis_client::partition_of;
use serde::Deserialize;

use super::super::database::Database;
use super::super::documents::stored_seq;
use super::super::failure::{Outcome, bounded};
use super::super::query::all;

/// How far back [`DegradedRooms::recent`] looks, by the clock of the server.
const RECENT_MS: i64 = 10_000;

/// How long, and how often, an announcement is tried again when the first try failed.
const RETRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Rooms that are announced at once.
const AT_ONCE: usize = 16;

/// Rooms that are returned at most.
const RETURNED: i64 = 10_000;

/// Announces such rooms, and reads what others have announced. Cloning shares it.
#[derive(Clone)]
pub struct DegradedRooms {
    database: Database,
}

impl DegradedRooms {
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
        }
    }

    /// Announces that rooms are written to up to these `seq`s. What fails is tried again in the background.
    pub async fn announce(&self, rooms: Vec<(RoomId, u64)>) {
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
                "rooms that were written to couldn't be announced to other instances"
            );
        });
    }

    /// Those of the rooms that couldn't be announced to other instances.
    async fn upsert_all(&self, rooms: Vec<(RoomId, u64)>) -> Vec<(RoomId, u64)> {
        futures_util::stream::iter(rooms)
            .map(|(room, seq)| async move {
                let announced = self.upsert(&room, seq).await;
                announced.is_err().then_some((room, seq))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn upsert(&self, room: &RoomId, seq: u64) -> Outcome<()> {
        let degraded = &self.database.collections().await?.degraded_heads;
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
    pub async fn recent(&self, partitions: &[u16]) -> Outcome<Vec<(RoomId, u64)>> {
        #[derive(Deserialize)]
        struct Announced {
            #[serde(rename = "_id")]
            room: RoomId,
            seq: i64,
        }
        let degraded = &self.database.collections().await?.degraded_heads;
        let degraded = degraded.clone_with_type::<Announced>();
        let since = doc! { "$subtract": ["$$NOW", RECENT_MS] };
        let find = degraded
            .find(doc! { "$expr": { "$gte": ["$at", since] } })
            .limit(RETURNED);
        let mut rooms: Vec<Announced> = all(find).await?;
        rooms.retain(|announced| partitions.contains(&partition_of(announced.room.as_str())));
        let rooms = rooms.into_iter();
        Ok(rooms
            .map(|announced| (announced.room, announced.seq.unsigned_abs()))
            .collect())
    }
}
