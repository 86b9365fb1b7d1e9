//! Users' memberships in rooms, and what they may do there.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::doc;
use protocol::{RoomId, RoomKind, RoomRole, UserId};
use serde::Deserialize;

use super::super::super::Membership;
use super::super::database::Database;
use super::super::failure::Outcome;
use super::super::query::all;
use super::super::values::texts;
use super::cache::{Cache, Invalidations, Stamp, Subject};
use super::{BlockLookup, RoomLookup};
use crate::StoreError;

/// Memberships in memory at most.
const CAPACITY: usize = 200_000;

/// A user's membership in a room, as far as it decides what the user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipStatus {
    /// Of the room.
    pub kind: RoomKind,
    /// Absent for a user who isn't a member.
    pub role: Option<RoomRole>,
    /// True in a direct room if one of the two has blocked the other. Not looked up for a user who isn't a member.
    pub blocked: bool,
}

/// Looks up memberships, up to ten seconds old where the bus is down. That somebody isn't a member is never cached: who
/// joined by way of another instance may write at once. Cloning shares it.
#[derive(Clone)]
pub struct MembershipLookup {
    database: Database,
    rooms: RoomLookup,
    blocks: BlockLookup,
    cache: Arc<Cache<(RoomId, UserId), RoomRole>>,
}

impl MembershipLookup {
    pub fn new(
        database: &Database,
        rooms: &RoomLookup,
        blocks: &BlockLookup,
        invalidations: &Arc<Invalidations>,
    ) -> Self {
        Self {
            database: database.clone(),
            rooms: rooms.clone(),
            blocks: blocks.clone(),
            cache: Arc::new(Cache::new(CAPACITY, invalidations)),
        }
    }

    /// A user's membership in a room. `NotFound` if there is no such room.
    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Membership, StoreError> {
        let status = self.status(room, user).await?;
        Ok(Membership {
            kind: status.kind,
            role: status.role,
        })
    }

    /// A user's memberships in many rooms, in their order; `None` for a room that doesn't exist. What isn't cached takes
    /// two reads, however many rooms there are.
    pub async fn memberships(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Membership>>, StoreError> {
        let roles = self.roles_in(user, rooms);
        let (facts, roles) = tokio::try_join!(self.rooms.facts_of(rooms), roles)?;
        let membership = |room| {
            let kind = facts.get(room)?.kind;
            let role = roles.get(room).copied();
            Some(Membership { kind, role })
        };
        Ok(rooms.iter().map(membership).collect())
    }

    /// One user's status in a room. `NotFound` if there is no such room.
    pub async fn status(&self, room: &RoomId, user: &UserId) -> Outcome<MembershipStatus> {
        let statuses = self.statuses(room, std::slice::from_ref(user)).await?;
        let status = statuses.into_iter().next();
        Ok(status.ok_or_else(|| StoreError::internal("no status of the only user"))?)
    }

    /// Several users' statuses in a room, in the order of `users`. `NotFound` if there is no such room.
    pub async fn statuses(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Outcome<Vec<MembershipStatus>> {
        let facts = self.rooms.facts(room).await?;
        let roles = self.roles(room, users).await?;
        let blocked = match &facts.pair {
            Some(pair) if !roles.is_empty() => self.blocks.in_direct_room(room, pair).await?,
            _ => false,
        };
        let status = |user| {
            let role = roles.get(user).copied();
            MembershipStatus {
                kind: facts.kind,
                role,
                blocked: blocked && role.is_some(),
            }
        };
        Ok(users.iter().map(status).collect())
    }

    /// The roles in a room of those of these users who are members. One read for all who aren't cached: a crowd that
    /// writes at once is looked up at once, every ten seconds.
    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Outcome<HashMap<UserId, RoomRole>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            user_id: UserId,
            role: RoomRole,
        }
        let mut roles = HashMap::with_capacity(users.len());
        let mut missing = HashMap::new();
        for user in users {
            match self.cached(room, user) {
                Ok(role) => drop(roles.insert(user.clone(), role)),
                Err(stamp) => drop(missing.insert(user.clone(), stamp)),
            }
        }
        if missing.is_empty() {
            return Ok(roles);
        }
        let collections = self.database.collections().await?;
        let members = collections.members.clone_with_type::<Member>();
        let wanted = texts(missing.keys());
        let find = members
            .find(doc! { "roomId": room.as_str(), "userId": { "$in": wanted } })
            .projection(doc! { "_id": 0, "userId": 1, "role": 1 });
        for Member { user_id, role } in all(find).await? {
            if let Some(stamp) = missing.remove(&user_id) {
                self.cache.put((room.clone(), user_id.clone()), role, stamp);
            }
            roles.insert(user_id, role);
        }
        Ok(roles)
    }

    /// A user's roles in those of these rooms that the user is a member of.
    async fn roles_in(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Outcome<HashMap<RoomId, RoomRole>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            room_id: RoomId,
            role: RoomRole,
        }
        let mut roles = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            match self.cached(room, user) {
                Ok(role) => drop(roles.insert(room.clone(), role)),
                Err(stamp) => drop(missing.insert(room.clone(), stamp)),
            }
        }
        if missing.is_empty() {
            return Ok(roles);
        }
        let collections = self.database.collections().await?;
        let members = collections.members.clone_with_type::<Member>();
        let wanted: Vec<&str> = missing.keys().map(RoomId::as_str).collect();
        let find = members
            .find(doc! { "roomId": { "$in": wanted }, "userId": user.as_str() })
            .projection(doc! { "_id": 0, "roomId": 1, "role": 1 });
        for Member { room_id, role } in all(find).await? {
            if let Some(stamp) = missing.remove(&room_id) {
                self.cache.put((room_id.clone(), user.clone()), role, stamp);
            }
            roles.insert(room_id, role);
        }
        Ok(roles)
    }

    /// The role in the cache, or a stamp to cache one with that is read now.
    fn cached(&self, room: &RoomId, user: &UserId) -> Result<RoomRole, Stamp> {
        let key = (room.clone(), user.clone());
        self.cache.get(&key).ok_or_else(|| {
            self.cache.stamp([
                Subject::Membership(room, user),
                Subject::Room(room),
                Subject::User(user),
            ])
        })
    }
}
