//! Who has blocked whom. A block works both ways: neither of the two reaches the other.
//!
//! A document holds all whom one user has blocked: their number is kept within its bound by the filter of the update
//! that adds one, and looking both ways is one operation on two shards. Users who were deleted since stay in it, aren't
//! shown, and go when their place is wanted.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Document, doc};
use protocol::{RoomId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::MongoStore;
use super::collections::all;
use super::direct_rooms::is_direct;
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::transaction::to_the_end;
use super::values::texts;
use crate::StoreError;

/// Users whom one user may block.
const BLOCKS_MAX: usize = 1_000;

/// All whom one user has blocked, in the order of blocking.
#[derive(Serialize, Deserialize)]
pub(super) struct BlocksDocument {
    #[serde(rename = "_id")]
    id: UserId,
    blocked: Vec<UserId>,
}

impl MongoStore {
    pub async fn block(
        &self,
        user: &UserId,
        blocked: &UserId,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        if user == blocked {
            return Err(StoreError::conflict("userId", "expected somebody else"));
        }
        let (store, user, blocked) = (self.clone(), user.clone(), blocked.clone());
        to_the_end(async move {
            let added = store.add_block(&user, &blocked).await;
            store.forget_user(&user);
            added
        })
        .await
    }

    async fn add_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        if self
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
        let existing = self.users_by_id(texts(&list)).await?;
        let gone = texts(list.iter().filter(|id| !existing.contains_key(*id)));
        let blocks = &self.collections().await?.blocks;
        let pull = doc! { "$pull": { "blocked": { "$in": gone } } };
        bounded(blocks.update_one(doc! { "_id": user.as_str() }, pull)).await?;
        if self.push_block(user, blocked).await? {
            return Ok(true);
        }
        match self.blocks_of(user).await?.contains(blocked) {
            true => Ok(false),
            false => Err(StoreError::conflict("userId", "1,000 are blocked already").into()),
        }
    }

    /// Adds one unless already there or too many are.
    async fn push_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        let blocks = &self.collections().await?.blocks;
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
            store.forget_user(&user);
            removed
        })
        .await
    }

    async fn remove_block(&self, user: &UserId, blocked: &UserId) -> Outcome<bool> {
        let blocks = &self.collections().await?.blocks;
        let pull = doc! { "$pull": { "blocked": blocked.as_str() } };
        let update = blocks.update_one(doc! { "_id": user.as_str() }, pull);
        Ok(bounded(update).await?.modified_count > 0)
    }

    pub async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.must_be_user(user).await?;
        let mut list = self.blocks_of(user).await?;
        let existing = self.users_by_id(texts(&list)).await?;
        list.retain(|id| existing.contains_key(id));
        Ok(list)
    }

    async fn blocks_of(&self, user: &UserId) -> Outcome<Vec<UserId>> {
        let blocks = &self.collections().await?.blocks;
        let found = bounded(blocks.find_one(doc! { "_id": user.as_str() })).await?;
        Ok(found.map(|document| document.blocked).unwrap_or_default())
    }

    pub async fn is_blocked_in(&self, room: &RoomId) -> Result<bool, StoreError> {
        if !is_direct(room) {
            return Ok(false);
        }
        match self.room_facts(room).await {
            Ok(facts) => match &facts.pair {
                Some(pair) => Ok(self.is_blocked_between(room, pair).await?),
                None => Ok(false),
            },
            Err(Failure::Refused(StoreError::NotFound)) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    pub async fn is_blocked(&self, one: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.must_be_user(one).await?;
        self.must_be_user(other).await?;
        Ok(self.is_between(one, std::slice::from_ref(other)).await?)
    }

    /// Whom each of these people has blocked, of those who have blocked one of them.
    pub(super) async fn blocks_among(
        &self,
        people: &HashSet<UserId>,
    ) -> Outcome<HashMap<UserId, HashSet<UserId>>> {
        let ids = texts(people);
        let filter = doc! { "_id": { "$in": &ids }, "blocked": { "$in": &ids } };
        let blocks = &self.collections().await?.blocks;
        let found = all(blocks.find(filter)).await?.into_iter();
        Ok(found
            .map(|document| (document.id, document.blocked.into_iter().collect()))
            .collect())
    }

    /// Whether a user and one of the others have a block between them.
    pub(super) async fn is_between(&self, user: &UserId, others: &[UserId]) -> Outcome<bool> {
        if others.is_empty() {
            return Ok(false);
        }
        let mut ids = texts(others);
        let by_user = doc! { "_id": user.as_str(), "blocked": { "$in": &ids } };
        let of_user = doc! { "blocked": user.as_str() };
        ids.push(user.as_str());
        let filter = doc! { "_id": { "$in": ids }, "$or": [by_user, of_user] };
        let blocks = &self.collections().await?.blocks;
        let blocks = blocks.clone_with_type::<Document>();
        let find = blocks.find_one(filter).projection(doc! { "_id": 1 });
        Ok(bounded(find).await?.is_some())
    }
}
