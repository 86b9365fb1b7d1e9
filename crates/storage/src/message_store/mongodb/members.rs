//! Who is in which room, as what, and how far each has read.
//!
//! A membership is two documents, one found by the room, which says everything, and one found by the user, which says
//! that there is one. They come and go in one transaction. The room itself isn't part of it, so that thousands may join
//! at once: only what changes its owners is.

use std::collections::{HashMap, HashSet};

use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReturnDocument;
use protocol::{RoomId, RoomKind, RoomRole, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::super::{Membership, Page, Removal, StoredMember, StoredUser};
use super::MongoStore;
use super::collections::{Collections, all};
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::memberships::MembershipDocument;
use super::owners::{change_owners, has_owner, role_of, succeed};
use super::transaction::{in_transaction, to_the_end};
use super::values::{texts, time, timestamp};
use crate::StoreError;

/// A member of a room, found by the room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberDocument {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub role: RoomRole,
    read_seq: i64,
    joined_at: DateTime,
}

impl MemberDocument {
    pub(super) fn new(
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        read: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            room_id: room.clone(),
            user_id: user.clone(),
            role,
            read_seq: signed(read),
            joined_at: time(now),
        }
    }

    pub(super) fn read(&self) -> u64 {
        self.read_seq.unsigned_abs()
    }

    fn stored(self, user: StoredUser) -> StoredMember {
        StoredMember {
            user,
            role: self.role,
            read_seq: self.read(),
            joined_at: timestamp(self.joined_at),
        }
    }
}

/// A `seq` as it is stored; the largest of the protocol is far below the bound.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// One member, by the room.
pub(super) fn of(room: &RoomId, user: &UserId) -> Document {
    doc! { "roomId": room.as_str(), "userId": user.as_str() }
}

impl MongoStore {
    pub async fn add_member(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.room_facts(room).await?.kind == RoomKind::Direct {
            return Err(StoreError::Forbidden);
        }
        self.must_be_user(user).await?;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.join(&room, &user, role, now).await }).await
    }

    /// Adds a member who has read everything; says whether that is new.
    pub(super) async fn join(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Outcome<bool> {
        let read = self.head(room).await?.seq;
        let member = [MemberDocument::new(room, user, role, read, now)];
        let collections = self.collections().await?;
        let joined = in_transaction!(self, async |session| {
            insert(collections, &member, session).await
        });
        self.forget_member(room, user);
        match joined {
            Err(Failure::Mongodb(error)) if is_duplicate(&error) => Ok(false),
            joined => joined.map(|()| true),
        }
    }

    pub async fn remove_member(&self, room: &RoomId, user: &UserId) -> Result<Removal, StoreError> {
        self.room_document(room).await?;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.leave(&room, &user).await }).await
    }

    /// Removes a member and sees to it that an owner remains.
    pub(super) async fn leave(&self, room: &RoomId, user: &UserId) -> Outcome<Removal> {
        let left = self.remove(room, user).await;
        self.forget_member(room, user);
        if let Ok(Removal {
            new_owner: Some(owner),
        }) = &left
        {
            self.forget_member(room, owner);
        }
        left
    }

    async fn remove(&self, room: &RoomId, user: &UserId) -> Outcome<Removal> {
        let collections = self.collections().await?;
        in_transaction!(self, async |session| {
            let role = role_of(collections, room, user, session).await?;
            let role = role.ok_or(StoreError::NotFound)?;
            delete(collections, std::slice::from_ref(room), user, session).await?;
            let mut new_owner = None;
            if role == RoomRole::Owner {
                change_owners(collections, room, session).await?;
                if !has_owner(collections, room, session).await? {
                    new_owner = succeed(collections, room, session).await?;
                }
            }
            Ok(Removal { new_owner })
        })
    }

    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Membership, StoreError> {
        let standing = self.standing(room, user).await?;
        Ok(Membership {
            kind: standing.kind,
            role: standing.role,
        })
    }

    pub async fn members_in_rooms(
        &self,
        rooms: &[(RoomId, Vec<UserId>)],
    ) -> Result<Vec<HashSet<UserId>>, StoreError> {
        let ids: Vec<RoomId> = rooms.iter().map(|(room, _)| room.clone()).collect();
        let (existing, found) =
            tokio::try_join!(self.existing_rooms(&ids), self.members_of(rooms))?;
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
        let members = self
            .collections()
            .await?
            .members
            .clone_with_type::<Member>();
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
        self.room_facts(room).await?;
        let page = self.list(room, after, limit).await?;
        let ids = texts(page.items.iter().map(|member| &member.user_id));
        let mut users = self.users_by_id(ids).await?;
        let members = page.items.into_iter().filter_map(|member| {
            // One who is being deleted is nobody already.
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
        self.room_facts(room).await?;
        Ok(self.list_among(room, ids, usernames).await?)
    }

    async fn list_among(
        &self,
        room: &RoomId,
        ids: &[UserId],
        usernames: &[String],
    ) -> Outcome<Vec<StoredMember>> {
        let named = self.user_ids_of(usernames).await?;
        let wanted = texts(ids.iter().chain(&named));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let members = &self.collections().await?.members;
        let filter = doc! { "roomId": room.as_str(), "userId": { "$in": wanted } };
        let found = all(members.find(filter).sort(doc! { "userId": 1 })).await?;
        let mut users = self
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
        let members = &self.collections().await?.members;
        let find = members
            .find(behind(room, after))
            .sort(doc! { "userId": 1 })
            .limit(i64::from(limit) + 1);
        Ok(Page::cut(all(find).await?, limit))
    }

    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<StoredMember, StoreError> {
        self.room_facts(room).await?;
        let member = self.member_document(room, user).await?;
        let member = member.ok_or(StoreError::NotFound)?;
        Ok(member.stored(self.user(user).await?))
    }

    pub(super) async fn member_document(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Outcome<Option<MemberDocument>> {
        let members = &self.collections().await?.members;
        bounded(members.find_one(of(room, user))).await
    }

    pub async fn member_ids(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<UserId>, StoreError> {
        self.room_facts(room).await?;
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
        let members = self.collections().await?.members.clone_with_type::<Id>();
        let find = members
            .find(behind(room, after))
            .sort(doc! { "userId": 1 })
            .projection(doc! { "_id": 0, "userId": 1 })
            .limit(i64::from(limit) + 1);
        let ids = all(find).await?.into_iter().map(|id| id.user_id);
        Ok(Page::cut(ids.collect(), limit))
    }

    pub async fn set_read(
        &self,
        room: &RoomId,
        user: &UserId,
        seq: u64,
    ) -> Result<u64, StoreError> {
        let head = self.head(room).await?.seq;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.raise_read(&room, &user, seq.min(head)).await }).await
    }

    async fn raise_read(&self, room: &RoomId, user: &UserId, seq: u64) -> Outcome<u64> {
        let members = &self.collections().await?.members;
        let raise = members
            .find_one_and_update(of(room, user), doc! { "$max": { "readSeq": signed(seq) } })
            .return_document(ReturnDocument::After);
        let member = bounded(raise).await?.ok_or(StoreError::NotFound)?;
        Ok(member.read())
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

/// Makes these members; fails as duplicate if one is a member already.
pub(super) async fn insert(
    collections: &Collections,
    members: &[MemberDocument],
    session: &mut ClientSession,
) -> Outcome<()> {
    let memberships: Vec<_> = members
        .iter()
        .map(|member| MembershipDocument {
            user_id: member.user_id.clone(),
            room_id: member.room_id.clone(),
        })
        .collect();
    bounded(
        collections
            .members
            .insert_many(members)
            .session(&mut *session),
    )
    .await?;
    bounded(
        collections
            .memberships
            .insert_many(memberships)
            .session(session),
    )
    .await?;
    Ok(())
}

/// Ends a user's memberships of these rooms.
pub(super) async fn delete(
    collections: &Collections,
    rooms: &[RoomId],
    user: &UserId,
    session: &mut ClientSession,
) -> Outcome<()> {
    let rooms: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
    let filter = doc! { "roomId": { "$in": rooms }, "userId": user.as_str() };
    let members = collections.members.delete_many(filter.clone());
    bounded(members.session(&mut *session)).await?;
    bounded(collections.memberships.delete_many(filter).session(session)).await?;
    Ok(())
}
