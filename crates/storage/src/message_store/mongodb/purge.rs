//! What remains of deleted rooms and users goes bit by bit, by whichever instance comes first.
//!
//! It begins a minute after the deletion: by then everything has ended that was on its way when the room or user was
//! still there, so that nothing is written behind a purge that is through.

use std::sync::Weak;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{ClientSession, Collection};
use protocol::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::collections::{Collections, all};
use super::failure::{Outcome, bounded};
use super::values::texts;
use super::{MongoStore, Shared};
use crate::StoreError;

/// How long after a deletion its purge begins, and how long an instance has one for itself: longer than any operation
/// may take.
const AFTER: Duration = Duration::from_secs(60);

/// How often an instance looks for something to purge.
const EVERY: Duration = Duration::from_secs(20);

/// Documents of a collection that go in one step.
const STEP: i64 = 500;

/// Steps in one go, after which the purge is anybody's again.
const STEPS: u32 = 200;

/// The pause between two steps: members who chat come first.
const PAUSE: Duration = Duration::from_millis(20);

/// Something deleted whose remains are to go.
#[derive(Serialize, Deserialize)]
pub(super) struct Purge {
    #[serde(rename = "_id")]
    what: Remains,
    /// Not before. Moves when an instance takes it up.
    due: DateTime,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Remains {
    Room(RoomId),
    User(UserId),
}

fn later() -> DateTime {
    let ms = i64::try_from(AFTER.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(ms))
}

impl Purge {
    pub(super) fn of_room(room: &RoomId) -> Self {
        Self {
            what: Remains::Room(room.clone()),
            due: later(),
        }
    }

    pub(super) fn of_user(user: &UserId) -> Self {
        Self {
            what: Remains::User(user.clone()),
            due: later(),
        }
    }

    /// Notes it down, in the transaction of the deletion.
    pub(super) async fn insert(
        self,
        collections: &Collections,
        session: &mut ClientSession,
    ) -> Outcome<()> {
        let insert = collections.purges.insert_one(self).session(session);
        bounded(insert).await.map(drop)
    }
}

/// Purges from time to time, for as long as the store is used.
pub(super) async fn run(store: Weak<Shared>) {
    loop {
        // Spread, so that instances that were started together don't come together.
        let spread = f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0;
        tokio::time::sleep(EVERY.mul_f64(0.5 + spread)).await;
        let Some(shared) = store.upgrade() else {
            return;
        };
        let store = MongoStore { shared };
        if let Err(failure) = store.purge(DateTime::now()).await {
            let error = StoreError::from(failure);
            tracing::debug!(%error, "purging failed; it is tried again later");
        }
    }
}

impl MongoStore {
    /// Purges what is due at `now`.
    pub(super) async fn purge(&self, now: DateTime) -> Outcome<()> {
        let purges = &self.collections().await?.purges;
        loop {
            let due = doc! { "due": { "$lte": now } };
            let take = purges.find_one_and_update(due, doc! { "$set": { "due": later() } });
            let Some(purge) = bounded(take).await? else {
                return Ok(());
            };
            let id = mongodb::bson::serialize_to_bson(&purge.what)
                .map_err(super::failure::Failure::unserializable)?;
            let is_done = match &purge.what {
                Remains::Room(room) => self.purge_room(room).await?,
                Remains::User(user) => self.purge_user(user).await?,
            };
            let by_id = doc! { "_id": id };
            if is_done {
                bounded(purges.delete_one(by_id)).await?;
            } else {
                bounded(purges.update_one(by_id, doc! { "$set": { "due": now } })).await?;
            }
        }
    }

    /// Removes a part of a deleted room; says whether that was the last.
    async fn purge_room(&self, room: &RoomId) -> Outcome<bool> {
        let collections = self.collections().await?;
        for _ in 0..STEPS {
            let mut removed = self.purge_members(room).await?;
            for part in [
                collections.room_log.clone_with_type(),
                collections.reactions.clone_with_type(),
                collections.word_blocks.clone_with_type(),
            ] {
                removed += remove(&part, room).await?;
            }
            if removed == 0 {
                let rooms = &collections.rooms;
                bounded(rooms.delete_one(doc! { "_id": room.as_str() })).await?;
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }

    async fn purge_members(&self, room: &RoomId) -> Outcome<usize> {
        let collections = self.collections().await?;
        let members = &collections.members;
        let members = all(members.find(doc! { "roomId": room.as_str() }).limit(STEP)).await?;
        if members.is_empty() {
            return Ok(0);
        }
        let users = texts(members.iter().map(|member| &member.user_id));
        let filter = doc! { "userId": { "$in": users }, "roomId": room.as_str() };
        // These first: they are found by the others.
        bounded(collections.memberships.delete_many(filter.clone())).await?;
        bounded(collections.members.delete_many(filter)).await?;
        Ok(members.len())
    }

    /// Removes what a deleted user's last operations have left.
    async fn purge_user(&self, user: &UserId) -> Outcome<bool> {
        self.leave_all_rooms(user).await?;
        let blocks = &self.collections().await?.blocks;
        bounded(blocks.delete_one(doc! { "_id": user.as_str() })).await?;
        Ok(true)
    }
}

/// Removes some of a room's documents and says how many.
async fn remove(collection: &Collection<Document>, room: &RoomId) -> Outcome<usize> {
    let find = collection
        .find(doc! { "roomId": room.as_str() })
        .projection(doc! { "_id": 1 })
        .limit(STEP);
    let found = all(find).await?.into_iter();
    let ids: Vec<Bson> = found
        .filter_map(|mut document| document.remove("_id"))
        .collect();
    if !ids.is_empty() {
        let filter = doc! { "roomId": room.as_str(), "_id": { "$in": &ids } };
        bounded(collection.delete_many(filter)).await?;
    }
    Ok(ids.len())
}
