//! Which rooms a user is in: the members (see `members.rs`), found by the user.

use mongodb::bson::doc;
use protocol::{RoomId, UserId};

use super::super::Page;
use super::cached::{People, RoomLookup};
use super::database::Database;
use super::failure::Outcome;
use super::query::all;
use crate::StoreError;

/// Reads a user's memberships. Cloning shares it.
#[derive(Clone)]
pub struct Memberships {
    pub database: Database,
    pub people: People,
    pub rooms: RoomLookup,
}

impl Memberships {
    pub async fn room_ids(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<RoomId>, StoreError> {
        Ok(self.rooms_of(user, after, limit).await?)
    }

    /// The rooms of a user that exist, in the order of their ids. `NotFound` if there is no such user.
    pub async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Outcome<Page<RoomId>> {
        self.people.require(user).await?;
        let wanted = limit as usize + 1;
        let mut rooms: Vec<RoomId> = Vec::new();
        let mut last = after.cloned();
        // Those of deleted rooms are left out, until they are purged: the first part may be too short.
        while rooms.len() < wanted {
            let part = self.memberships_of(user, last.as_ref(), limit + 1).await?;
            let is_last = part.len() < wanted;
            last = part.last().cloned();
            let existing = self.rooms.existing(&part).await?;
            rooms.extend(part.into_iter().filter(|room| existing.contains(room)));
            if is_last {
                break;
            }
        }
        rooms.truncate(wanted);
        Ok(Page::cut(rooms, limit))
    }

    /// The next rooms of a user behind one, deleted ones included, in the order of their ids.
    pub async fn memberships_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Outcome<Vec<RoomId>> {
        let mut filter = doc! { "userId": user.as_str() };
        if let Some(after) = after {
            filter.insert("roomId", doc! { "$gt": after.as_str() });
        }
        let collections = self.database.collections().await?;
        let find = collections
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
}
