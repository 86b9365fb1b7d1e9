//! Removes the data of deleted rooms and users bit by bit, on whichever instance comes first.
//!
//! It begins a minute after the deletion: by then everything has ended that was on its way when the room or user was
//! still there, so that nothing is written behind a purge that is through.

use std::sync::Weak;
use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc};
use protocol::{RoomId, UserId};

use super::database::Database;
use super::documents::{Remains, later};
use super::failure::{Failure, Outcome, bounded};
use super::membership_changes::MembershipChanges;
use super::query::all;
use super::values::texts;
use crate::StoreError;

/// How often an instance looks for something to purge.
const EVERY: Duration = Duration::from_secs(20);

/// Documents of a collection that go in one step.
const STEP: i64 = 500;

/// Steps in one go, after which the purge is anybody's again.
const STEPS: u32 = 200;

/// The pause between two steps: members who chat come first.
const PAUSE: Duration = Duration::from_millis(20);

/// Removes the data of deleted rooms and users.
pub struct Purger {
    pub database: Database,
    pub memberships: MembershipChanges,
}

impl Purger {
    /// Purges from time to time, until the store is gone.
    pub async fn run(purger: Weak<Self>) {
        loop {
            // Spread, so that instances that were started together don't come together.
            let spread = f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0;
            tokio::time::sleep(EVERY.mul_f64(0.5 + spread)).await;
            let Some(purger) = purger.upgrade() else {
                return;
            };
            if let Err(failure) = purger.purge(DateTime::now()).await {
                let error = StoreError::from(failure);
                tracing::debug!(%error, "purging failed; it is tried again later");
            }
        }
    }

    /// Purges what is due at `now`.
    pub async fn purge(&self, now: DateTime) -> Outcome<()> {
        let purges = &self.database.collections().await?.purges;
        loop {
            let due = doc! { "due": { "$lte": now } };
            let take = purges.find_one_and_update(due, doc! { "$set": { "due": later() } });
            let Some(purge) = bounded(take).await? else {
                return Ok(());
            };
            let id =
                mongodb::bson::serialize_to_bson(&purge.what).map_err(Failure::unserializable)?;
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

    /// Removes a part of a deleted room; true if that was the last.
    async fn purge_room(&self, room: &RoomId) -> Outcome<bool> {
        let collections = self.database.collections().await?;
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
        let collections = self.database.collections().await?;
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
        self.memberships.leave_all(user).await?;
        let blocks = &self.database.collections().await?.blocks;
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
