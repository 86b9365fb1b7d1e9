//! Changes of memberships: joining, leaving, roles, and how far members have read.
//!
//! A membership is two documents, one found by the room, which holds everything, and one found by the user, which says
//! that there is one. They come and go in one transaction. The room itself isn't part of it, so that thousands may join
//! at once: only what changes its owners is (see `owners.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::ReturnDocument;
use protocol::{RoomId, RoomRole, Timestamp, UserId};

use super::super::owner_rules::{concerns_owners, require_owner};
use super::super::rooms::must_not_be_direct;
use super::super::{Departure, Removal};
use super::cached::{Invalidations, People, RoomLookup};
use super::collections::Collections;
use super::database::Database;
use super::documents::{MemberDocument, MembershipDocument, member, signed};
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::log::VisibleHeads;
use super::memberships::Memberships;
use super::owners::{change_owners, has_owner, role_of, set_role, succeed};
use super::transaction::{in_transaction, to_the_end};
use crate::StoreError;

/// Memberships of a deleted user that end in one transaction.
const STEP: u32 = 200;

/// Changes memberships. Cloning shares it.
#[derive(Clone)]
pub struct MembershipChanges {
    pub database: Database,
    pub rooms: RoomLookup,
    pub people: People,
    pub heads: VisibleHeads,
    pub memberships: Memberships,
    pub invalidations: Arc<Invalidations>,
}

impl MembershipChanges {
    pub async fn add_member(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        must_not_be_direct(self.rooms.facts(room).await?.kind)?;
        self.people.require(user).await?;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.join(&room, &user, role, now).await }).await
    }

    /// Adds a member who has read everything; false if the user is a member already.
    pub async fn join(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Outcome<bool> {
        let read = self.heads.head(room).await?.seq;
        let member = [MemberDocument::new(room, user, role, read, now)];
        let collections = self.database.collections().await?;
        let joined = in_transaction!(&self.database, async |session| {
            insert_members(collections, &member, session).await
        });
        self.invalidations.membership(room, user);
        match joined {
            Err(Failure::Mongodb(error)) if is_duplicate(&error) => Ok(false),
            joined => joined.map(|()| true),
        }
    }

    pub async fn remove_member(&self, room: &RoomId, user: &UserId) -> Result<Removal, StoreError> {
        self.rooms.document(room).await?;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.leave(&room, &user).await }).await
    }

    /// Removes a member and sees to it that an owner remains.
    pub async fn leave(&self, room: &RoomId, user: &UserId) -> Outcome<Removal> {
        let left = self.remove(room, user).await;
        self.invalidations.membership(room, user);
        if let Ok(Removal {
            new_owner: Some(owner),
        }) = &left
        {
            self.invalidations.membership(room, owner);
        }
        left
    }

    async fn remove(&self, room: &RoomId, user: &UserId) -> Outcome<Removal> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            let role = role_of(collections, room, user, session).await?;
            let role = role.ok_or(StoreError::NotFound)?;
            delete_members(collections, std::slice::from_ref(room), user, session).await?;
            let mut new_owner = None;
            if concerns_owners(Some(role), None) {
                change_owners(collections, room, session).await?;
                if !has_owner(collections, room, session).await? {
                    new_owner = succeed(collections, room, session).await?;
                }
            }
            Ok(Removal { new_owner })
        })
    }

    pub async fn set_read(
        &self,
        room: &RoomId,
        user: &UserId,
        seq: u64,
    ) -> Result<u64, StoreError> {
        let head = self.heads.head(room).await?.seq;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move { store.raise_read(&room, &user, seq.min(head)).await }).await
    }

    async fn raise_read(&self, room: &RoomId, user: &UserId, seq: u64) -> Outcome<u64> {
        let members = &self.database.collections().await?.members;
        let raise = members
            .find_one_and_update(
                member(room, user),
                doc! { "$max": { "readSeq": signed(seq) } },
            )
            .return_document(ReturnDocument::After);
        let member = bounded(raise).await?.ok_or(StoreError::NotFound)?;
        Ok(member.read())
    }

    pub async fn set_member_role(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
    ) -> Result<(), StoreError> {
        must_not_be_direct(self.rooms.document(room).await?.kind)?;
        let (store, room, user) = (self.clone(), room.clone(), user.clone());
        to_the_end(async move {
            let changed = store.change_role(&room, &user, role).await;
            store.invalidations.membership(&room, &user);
            changed
        })
        .await
    }

    async fn change_role(&self, room: &RoomId, user: &UserId, role: RoomRole) -> Outcome<()> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            let before = role_of(collections, room, user, session).await?;
            let before = before.ok_or(StoreError::NotFound)?;
            if before == role {
                return Ok(());
            }
            set_role(collections, room, user, role, session).await?;
            if concerns_owners(Some(before), Some(role)) {
                change_owners(collections, room, session).await?;
                require_owner(has_owner(collections, room, session).await?)?;
            }
            Ok(())
        })
    }

    /// Ends the memberships of a user who was deleted and returns the rooms that exist, with their new owners.
    pub async fn leave_all(&self, user: &UserId) -> Outcome<Vec<Departure>> {
        let collections = self.database.collections().await?;
        let mut left = Vec::new();
        loop {
            let rooms = self.memberships.memberships_of(user, None, STEP).await?;
            if rooms.is_empty() {
                return Ok(left);
            }
            let existing = self.rooms.existing(&rooms).await?;
            let owned = in_transaction!(&self.database, async |session| {
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
                    delete_members(collections, &others, user, session).await?;
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
                self.invalidations.membership(&room, user);
                if existing.contains(&room) {
                    let new_owner = owners.remove(&room);
                    let removal = Removal { new_owner };
                    left.push(Departure { room, removal });
                }
            }
        }
    }
}

/// Makes these members; fails as duplicate if one is a member already.
pub async fn insert_members(
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
pub async fn delete_members(
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
