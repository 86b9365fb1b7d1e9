//! Whether users are blocked. A block works both ways: neither of the two reaches the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mongodb::bson::{Document, doc};
use protocol::{RoomId, UserId};

use super::super::database::Database;
use super::super::failure::{Outcome, bounded};
use super::super::query::all;
use super::super::values::texts;
use super::cache::{Cache, Invalidations, Subject};

/// Direct rooms in memory at most.
const CAPACITY: usize = 50_000;

/// Looks up blocks. Cloning shares it.
#[derive(Clone)]
pub struct BlockLookup {
    database: Database,
    cache: Arc<Cache<RoomId, bool>>,
}

impl BlockLookup {
    pub fn new(database: &Database, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            database: database.clone(),
            cache: Arc::new(Cache::new(CAPACITY, invalidations)),
        }
    }

    /// True if one of the two users of a direct room has blocked the other; cached.
    pub async fn in_direct_room(&self, room: &RoomId, pair: &(UserId, UserId)) -> Outcome<bool> {
        if let Some(blocked) = self.cache.get(room) {
            return Ok(blocked);
        }
        let (low, high) = pair;
        let subjects = [Subject::User(low), Subject::User(high), Subject::Room(room)];
        let stamp = self.cache.stamp(subjects);
        let blocked = self.between(low, std::slice::from_ref(high)).await?;
        self.cache.put(room.clone(), blocked, stamp);
        Ok(blocked)
    }

    /// True if there is a block between a user and one of the others.
    pub async fn between(&self, user: &UserId, others: &[UserId]) -> Outcome<bool> {
        if others.is_empty() {
            return Ok(false);
        }
        let mut ids = texts(others);
        let by_user = doc! { "_id": user.as_str(), "blocked": { "$in": &ids } };
        let of_user = doc! { "blocked": user.as_str() };
        ids.push(user.as_str());
        let filter = doc! { "_id": { "$in": ids }, "$or": [by_user, of_user] };
        let blocks = &self.database.collections().await?.blocks;
        let blocks = blocks.clone_with_type::<Document>();
        let find = blocks.find_one(filter).projection(doc! { "_id": 1 });
        Ok(bounded(find).await?.is_some())
    }

    /// Whom each of these users has blocked, of those who have blocked another of them.
    pub async fn among(
        &self,
        users: &HashSet<UserId>,
    ) -> Outcome<HashMap<UserId, HashSet<UserId>>> {
        let ids = texts(users);
        let filter = doc! { "_id": { "$in": &ids }, "blocked": { "$in": &ids } };
        let blocks = &self.database.collections().await?.blocks;
        let found = all(blocks.find(filter)).await?.into_iter();
        Ok(found
            .map(|document| (document.id, document.blocked.into_iter().collect()))
            .collect())
    }
}
