//! Which rooms a user is in: the members (see `members.rs`) found by the user.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use mongodb::bson::doc;
use protocol::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::super::{Departure, Page, Removal};
use super::MongoStore;
use super::collections::all;
use super::failure::{Failure, Outcome};
use super::members::delete;
use super::transaction::in_transaction;
use crate::StoreError;

/// Memberships of a deleted user that end in one transaction.
const STEP: u32 = 200;

/// That a user is in a room, found by the user.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MembershipDocument {
    pub user_id: UserId,
    pub room_id: RoomId,
}

impl MongoStore {
    pub async fn room_ids(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<RoomId>, StoreError> {
        Ok(self.rooms_of(user, after, limit).await?)
    }

    /// The rooms of a user that exist, in the order of their ids. `NotFound` if there is no such user.
    pub(super) async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Outcome<Page<RoomId>> {
        self.must_be_user(user).await?;
        let wanted = limit as usize + 1;
        let mut rooms: Vec<RoomId> = Vec::new();
        let mut last = after.cloned();
        // Those of deleted rooms are left out, until they are purged: the first part may be too short.
        while rooms.len() < wanted {
            let part = self.memberships_of(user, last.as_ref(), limit + 1).await?;
            let is_last = part.len() < wanted;
            last = part.last().cloned();
            let existing = self.existing_rooms(&part).await?;
            rooms.extend(part.into_iter().filter(|room| existing.contains(room)));
            if is_last {
                break;
            }
        }
        rooms.truncate(wanted);
        Ok(Page::cut(rooms, limit))
    }

    async fn memberships_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Outcome<Vec<RoomId>> {
        let mut filter = doc! { "userId": user.as_str() };
        if let Some(after) = after {
            filter.insert("roomId", doc! { "$gt": after.as_str() });
        }
        let find = self
            .collections()
            .await?
            .memberships
            .find(filter)
            .sort(doc! { "roomId": 1 })
            .limit(i64::from(limit));
        let found = all(find).await?;
        Ok(found
            .into_iter()
            .map(|membership| membership.room_id)
            .collect())
    }

    pub(super) async fn existing_rooms(&self, rooms: &[RoomId]) -> Outcome<HashSet<RoomId>> {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: RoomId,
        }
        if rooms.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
        let rooms = self.collections().await?.rooms.clone_with_type::<Id>();
        let find = rooms
            .find(doc! { "_id": { "$in": ids }, "deletedAt": null })
            .projection(doc! { "_id": 1 });
        Ok(all(find).await?.into_iter().map(|room| room.id).collect())
    }

    /// Ends the memberships of a user who was deleted and says in which rooms that exist, and who owns them now.
    pub(super) async fn leave_all_rooms(&self, user: &UserId) -> Outcome<Vec<Departure>> {
        let collections = self.collections().await?;
        let mut left = Vec::new();
        loop {
            let rooms = self.memberships_of(user, None, STEP).await?;
            if rooms.is_empty() {
                return Ok(left);
            }
            let existing = self.existing_rooms(&rooms).await?;
            let owned = in_transaction!(self, async |session| {
                let ids: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
                let owned =
                    doc! { "roomId": { "$in": ids }, "userId": user.as_str(), "role": "owner" };
                let mut owned = collections
                    .members
                    .find(owned)
                    .session(&mut *session)
                    .await?;
                let owned: HashSet<RoomId> = owned
                    .stream(session)
                    .map_ok(|member| member.room_id)
                    .try_collect()
                    .await?;
                let others: Vec<RoomId> = rooms
                    .iter()
                    .filter(|room| !owned.contains(*room))
                    .cloned()
                    .collect();
                if !others.is_empty() {
                    delete(collections, &others, user, session).await?;
                }
                Ok(owned)
            })?;
            let mut owners: HashMap<&RoomId, UserId> = HashMap::new();
            for room in &owned {
                match self.leave(room, user).await {
                    Ok(Removal { new_owner }) => {
                        owners.extend(new_owner.map(|owner| (room, owner)));
                    }
                    Err(Failure::Refused(StoreError::NotFound)) => {}
                    Err(failure) => return Err(failure),
                }
            }
            for room in rooms {
                self.forget_member(&room, user);
                if existing.contains(&room) {
                    let new_owner = owners.remove(&room);
                    let removal = Removal { new_owner };
                    left.push(Departure { room, removal });
                }
            }
        }
    }
}
