//! New epochs for the logs, after the database was restored from a backup to an earlier point. Clients may know events
//! that are gone, and Redis counters and names of messages that are ahead: what is kept under a room's old epoch means
//! nothing under its new one.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::doc;
use protocol::RoomId;
use serde::Deserialize;

use super::super::super::ids::new_epoch;
use super::super::cached::Invalidations;
use super::super::database::Database;
use super::super::failure::{Outcome, bounded};
use super::super::query::all;
use crate::StoreError;

/// Rooms that are read at once.
const STEP: i64 = 1_000;

/// Rooms that are changed at once.
const AT_ONCE: usize = 16;

/// Renews epochs.
pub struct Epochs {
    pub database: Database,
    pub invalidations: Arc<Invalidations>,
}

impl Epochs {
    pub async fn renew_epochs(&self) -> Result<u64, StoreError> {
        let mut renewed = 0;
        let mut last = String::new();
        loop {
            let rooms = self.rooms_behind(&last).await?;
            let Some(end) = rooms.last() else {
                return Ok(renewed);
            };
            last = end.as_str().to_owned();
            renewed += rooms.len() as u64;
            let mut renewing = Vec::with_capacity(rooms.len());
            for room in rooms {
                renewing.push(self.renew_epoch(room));
            }
            let renewing = stream::iter(renewing).buffer_unordered(AT_ONCE);
            renewing.try_collect::<()>().await?;
        }
    }

    /// The next rooms in the order of their ids. The only look through a whole sharded collection that there is.
    async fn rooms_behind(&self, last: &str) -> Outcome<Vec<RoomId>> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "_id")]
            id: RoomId,
        }
        let rooms = self
            .database
            .collections()
            .await?
            .rooms
            .clone_with_type::<Found>();
        let find = rooms
            .find(doc! { "_id": { "$gt": last } })
            .sort(doc! { "_id": 1 })
            .limit(STEP)
            .projection(doc! { "_id": 1 });
        Ok(all(find).await?.into_iter().map(|found| found.id).collect())
    }

    async fn renew_epoch(&self, room: RoomId) -> Outcome<()> {
        // The visible head that was noted may be of a moment after that of the log.
        let change = vec![doc! { "$set": { "epoch": new_epoch(), "headHint": "$floorSeq" } }];
        let rooms = &self.database.collections().await?.rooms;
        bounded(rooms.update_one(doc! { "_id": room.as_str() }, change)).await?;
        self.invalidations.room(&room);
        Ok(())
    }
}
