//! Rooms as they are stored, and what never changes of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mongodb::bson::doc;
use protocol::{Epoch, RoomId, RoomKind, UserId};
use serde::Deserialize;

use super::super::database::Database;
use super::super::documents::{RoomDocument, existing_room};
use super::super::failure::{Outcome, bounded};
use super::super::query::all;
use super::cache::{Cache, Invalidations, Stamp, Subject};
use crate::StoreError;

/// Rooms in memory at most.
const CAPACITY: usize = 50_000;

/// What doesn't change while a room exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomFacts {
    pub kind: RoomKind,
    pub epoch: Epoch,
    /// The two users of a direct room, the smaller id first.
    pub pair: Option<(UserId, UserId)>,
}

impl RoomFacts {
    fn new(document: RoomDocument) -> Self {
        Self {
            kind: document.kind,
            epoch: Epoch::new(document.epoch),
            pair: document.pair,
        }
    }
}

/// Looks up rooms. Cloning shares it.
#[derive(Clone)]
pub struct RoomLookup {
    database: Database,
    cache: Arc<Cache<RoomId, Arc<RoomFacts>>>,
}

impl RoomLookup {
    pub fn new(database: &Database, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            database: database.clone(),
            cache: Arc::new(Cache::new(CAPACITY, invalidations)),
        }
    }

    /// What never changes of a room, cached. `NotFound` if there is no such room.
    pub async fn facts(&self, room: &RoomId) -> Outcome<Arc<RoomFacts>> {
        if let Some(facts) = self.cache.get(room) {
            return Ok(facts);
        }
        let stamp = self.stamp(room);
        let facts = Arc::new(RoomFacts::new(self.document(room).await?));
        self.cache.put(room.clone(), Arc::clone(&facts), stamp);
        Ok(facts)
    }

    /// The same of those of these rooms that exist.
    pub async fn facts_of(&self, rooms: &[RoomId]) -> Outcome<HashMap<RoomId, Arc<RoomFacts>>> {
        let mut facts = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            if let Some(known) = self.cache.get(room) {
                facts.insert(room.clone(), known);
            } else {
                missing.insert(room.clone(), self.stamp(room));
            }
        }
        if missing.is_empty() {
            return Ok(facts);
        }
        let wanted = missing.keys().map(RoomId::as_str).collect();
        for document in self.documents(wanted).await? {
            let id = document.id.clone();
            let found = Arc::new(RoomFacts::new(document));
            if let Some(stamp) = missing.remove(&id) {
                self.cache.put(id.clone(), Arc::clone(&found), stamp);
            }
            facts.insert(id, found);
        }
        Ok(facts)
    }

    fn stamp(&self, room: &RoomId) -> Stamp {
        let room = || Subject::Room(room);
        self.cache.stamp([room(), room(), room()])
    }

    /// A room as it is now. `NotFound` if there is no such room.
    pub async fn document(&self, room: &RoomId) -> Outcome<RoomDocument> {
        let rooms = &self.database.collections().await?.rooms;
        let found = bounded(rooms.find_one(existing_room(room))).await?;
        found.ok_or_else(|| StoreError::NotFound.into())
    }

    /// Those of these rooms that exist, as they are now, in the order of their ids.
    pub async fn documents(&self, ids: Vec<&str>) -> Outcome<Vec<RoomDocument>> {
        let rooms = &self.database.collections().await?.rooms;
        let filter = doc! { "_id": { "$in": ids }, "deletedAt": null };
        let mut rooms = all(rooms.find(filter)).await?;
        rooms.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rooms)
    }

    /// Which of these rooms exist now.
    pub async fn existing(&self, rooms: &[RoomId]) -> Outcome<HashSet<RoomId>> {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: RoomId,
        }
        if rooms.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
        let collections = self.database.collections().await?;
        let rooms = collections.rooms.clone_with_type::<Id>();
        let find = rooms
            .find(doc! { "_id": { "$in": ids }, "deletedAt": null })
            .projection(doc! { "_id": 1 });
        Ok(all(find).await?.into_iter().map(|room| room.id).collect())
    }
}
