//! The members of rooms: reading who is a member of which room, as what, and how far each has read.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Document, doc};
use protocol::{RoomId, UserId};
use serde::Deserialize;

use super::super::{Page, StoredMember};
use super::cached::RoomLookup;
use super::database::Database;
use super::documents::{MemberDocument, member};
use super::failure::{Outcome, bounded};
use super::query::all;
use super::users::Users;
use super::values::texts;
use crate::StoreError;

/// Reads members. Cloning shares it.
#[derive(Clone)]
pub struct Members {
    pub database: Database,
    pub rooms: RoomLookup,
    pub users: Users,
}

impl Members {
    pub async fn members_in_rooms(
        &self,
        rooms: &[(RoomId, Vec<UserId>)],
    ) -> Result<Vec<HashSet<UserId>>, StoreError> {
        let ids: Vec<RoomId> = rooms.iter().map(|(room, _)| room.clone()).collect();
        let (existing, found) =
            tokio::try_join!(self.rooms.existing(&ids), self.members_of(rooms))?;
        let mut members: HashMap<RoomId, HashSet<UserId>> = HashMap::new();
        for (room, user) in found {
            if existing.contains(&room) {
                members.entry(room).or_default().insert(user);
            }
        }
        // A room may be asked about twice, each time for others.
        let among = |(room, users): &(RoomId, Vec<UserId>)| -> HashSet<UserId> {
            let members = members.get(room);
            let is_member = |user: &&UserId| members.is_some_and(|it| it.contains(*user));
            users.iter().filter(is_member).cloned().collect()
        };
        Ok(rooms.iter().map(among).collect())
    }

    /// Those of these pairs that are memberships. The index alone answers.
    async fn members_of(&self, rooms: &[(RoomId, Vec<UserId>)]) -> Outcome<Vec<(RoomId, UserId)>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            room_id: RoomId,
            user_id: UserId,
        }
        let any = rooms.iter().filter(|(_, users)| !users.is_empty());
        let any: Vec<Document> = any
            .map(
                |(room, users)| doc! { "roomId": room.as_str(), "userId": { "$in": texts(users) } },
            )
            .collect();
        if any.is_empty() {
            return Ok(Vec::new());
        }
        let collections = self.database.collections().await?;
        let members = collections.members.clone_with_type::<Member>();
        let find = members
            .find(doc! { "$or": any })
            .projection(doc! { "_id": 0, "roomId": 1, "userId": 1 });
        let found = all(find).await?.into_iter();
        Ok(found
            .map(|member| (member.room_id, member.user_id))
            .collect())
    }

    pub async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredMember>, StoreError> {
        self.rooms.facts(room).await?;
        let page = self.list(room, after, limit).await?;
        let ids = texts(page.items.iter().map(|member| &member.user_id));
        let mut users = self.users.users_by_id(ids).await?;
        let members = page.items.into_iter().filter_map(|member| {
            // A user who is being deleted isn't shown any more.
            let user = users.remove(&member.user_id)?;
            Some(member.stored(user))
        });
        Ok(Page {
            items: members.collect(),
            has_more: page.has_more,
        })
    }

    pub async fn members_among(
        &self,
        room: &RoomId,
        ids: &[UserId],
        usernames: &[String],
    ) -> Result<Vec<StoredMember>, StoreError> {
        self.rooms.facts(room).await?;
        Ok(self.list_among(room, ids, usernames).await?)
    }

    async fn list_among(
        &self,
        room: &RoomId,
        ids: &[UserId],
        usernames: &[String],
    ) -> Outcome<Vec<StoredMember>> {
        let named = self.users.user_ids_of(usernames).await?;
        let wanted = texts(ids.iter().chain(&named));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let members = &self.database.collections().await?.members;
        let filter = doc! { "roomId": room.as_str(), "userId": { "$in": wanted } };
        let found = all(members.find(filter).sort(doc! { "userId": 1 })).await?;
        let mut users = self
            .users
            .users_by_id(texts(found.iter().map(|member| &member.user_id)))
            .await?;
        let members = found.into_iter().filter_map(|member| {
            let user = users.remove(&member.user_id)?;
            Some(member.stored(user))
        });
        Ok(members.collect())
    }

    async fn list(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Outcome<Page<MemberDocument>> {
        let members = &self.database.collections().await?.members;
        let find = members
            .find(behind(room, after))
            .sort(doc! { "userId": 1 })
            .limit(i64::from(limit) + 1);
        Ok(Page::cut(all(find).await?, limit))
    }

    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<StoredMember, StoreError> {
        self.rooms.facts(room).await?;
        let member = self.member_document(room, user).await?;
        let member = member.ok_or(StoreError::NotFound)?;
        Ok(member.stored(self.users.user(user).await?))
    }

    pub async fn member_document(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Outcome<Option<MemberDocument>> {
        let members = &self.database.collections().await?.members;
        bounded(members.find_one(member(room, user))).await
    }

    pub async fn member_ids(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<UserId>, StoreError> {
        self.rooms.facts(room).await?;
        Ok(self.list_ids(room, after, limit).await?)
    }

    async fn list_ids(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Outcome<Page<UserId>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Id {
            user_id: UserId,
        }
        let members = self
            .database
            .collections()
            .await?
            .members
            .clone_with_type::<Id>();
        let find = members
            .find(behind(room, after))
            .sort(doc! { "userId": 1 })
            .projection(doc! { "_id": 0, "userId": 1 })
            .limit(i64::from(limit) + 1);
        let ids = all(find).await?.into_iter().map(|id| id.user_id);
        Ok(Page::cut(ids.collect(), limit))
    }
}

/// The members of a room behind one.
fn behind(room: &RoomId, after: Option<&UserId>) -> Document {
    let mut filter = doc! { "roomId": room.as_str() };
    if let Some(after) = after {
        filter.insert("userId", doc! { "$gt": after.as_str() });
    }
    filter
}
