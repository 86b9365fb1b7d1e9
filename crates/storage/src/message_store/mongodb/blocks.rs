//! Blocks between users. A block works both ways: neither of the two reaches the other.
//!
//! A document holds the users whom one user has blocked: their number is kept within its bound by the filter of the update
//! that adds one, and looking both ways is one operation on two shards. Users who were deleted since stay in it, aren't
//! shown, and are removed when their space is needed.

use std::sync::Arc;

use mongodb::bson::doc;
use protocol::{RoomId, Timestamp, UserId};

use super::super::blocks::{BLOCKS_MAX, check_block, too_many_blocks};
use super::cached::{BlockLookup, Invalidations, People, RoomLookup};
use super::database::Database;
use super::direct_rooms::is_direct;
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::transaction::to_the_end;
use super::users::Users;
use super::values::texts;
use crate::StoreError;

/// Makes and lists blocks. Cloning shares it.
#[derive(Clone)]
pub struct Blocks {
    pub database: Database,
    pub users: Users,
    pub people: People,
    pub rooms: RoomLookup,
    pub lookup: BlockLookup,
    pub invalidations: Arc<Invalidations>,
}

impl Blocks {
    pub async fn block(
        &self,
        user: &UserId,
        blocked: &UserId,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        check_block(user, blocked)?;
        let (store, user, blocked) = (self.clone(), user.clone(), blocked.clone());
        to_the_end(async move {
            let added = store.add_block(&user, &blocked).await;
            store.invalidations.user(&user);
            added
        })
        .await
    }

    async fn add_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        if self
            .users
            .users_by_id(vec![user.as_str(), blocked.as_str()])
            .await?
            .len()
            < 2
        {
            return Err(StoreError::NotFound.into());
        }
        if self.push_block(user, blocked).await? {
            return Ok(true);
        }
        let list = self.blocks_of(user).await?;
        if list.contains(blocked) {
            return Ok(false);
        }
        // It is full, perhaps of users who are gone.
        let existing = self.users.users_by_id(texts(&list)).await?;
        let gone = texts(list.iter().filter(|id| !existing.contains_key(*id)));
        let blocks = &self.database.collections().await?.blocks;
        let pull = doc! { "$pull": { "blocked": { "$in": gone } } };
        bounded(blocks.update_one(doc! { "_id": user.as_str() }, pull)).await?;
        if self.push_block(user, blocked).await? {
            return Ok(true);
        }
        match self.blocks_of(user).await?.contains(blocked) {
            true => Ok(false),
            false => Err(too_many_blocks().into()),
        }
    }

    /// Adds one unless already there or too many are.
    async fn push_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        let blocks = &self.database.collections().await?.blocks;
        let mut room = doc! { "_id": user.as_str(), "blocked": { "$ne": blocked.as_str() } };
        room.insert(
            format!("blocked.{}", BLOCKS_MAX - 1),
            doc! { "$exists": false },
        );
        let push = doc! { "$push": { "blocked": blocked.as_str() } };
        match bounded(blocks.update_one(room, push).upsert(true)).await {
            // The user's document is there, but its list isn't one to add to.
            Err(Failure::Mongodb(error)) if is_duplicate(&error) => Ok(false),
            result => {
                let result = result?;
                Ok(result.modified_count > 0 || result.upserted_id.is_some())
            }
        }
    }

    pub async fn unblock(&self, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
        let (store, user, blocked) = (self.clone(), user.clone(), blocked.clone());
        to_the_end(async move {
            let removed = store.remove_block(&user, &blocked).await;
            store.invalidations.user(&user);
            removed
        })
        .await
    }

    async fn remove_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        let blocks = &self.database.collections().await?.blocks;
        let pull = doc! { "$pull": { "blocked": blocked.as_str() } };
        let update = blocks.update_one(doc! { "_id": user.as_str() }, pull);
        Ok(bounded(update).await?.modified_count > 0)
    }

    pub async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.people.require(user).await?;
        let mut list = self.blocks_of(user).await?;
        let existing = self.users.users_by_id(texts(&list)).await?;
        list.retain(|id| existing.contains_key(id));
        Ok(list)
    }

    async fn blocks_of(&self, user: &UserId) -> Outcome<Vec<UserId>> {
        let blocks = &self.database.collections().await?.blocks;
        let found = bounded(blocks.find_one(doc! { "_id": user.as_str() })).await?;
        Ok(found.map(|document| document.blocked).unwrap_or_default())
    }

    pub async fn is_blocked_in(&self, room: &RoomId) -> Result<bool, StoreError> {
        if !is_direct(room) {
            return Ok(false);
        }
        match self.rooms.facts(room).await {
            Ok(facts) => match &facts.pair {
                Some(pair) => Ok(self.lookup.in_direct_room(room, pair).await?),
                None => Ok(false),
            },
            Err(Failure::Refused(StoreError::NotFound)) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    pub async fn is_blocked(&self, one: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.people.require(one).await?;
        self.people.require(other).await?;
        Ok(self
            .lookup
            .between(one, std::slice::from_ref(other))
            .await?)
    }
}
