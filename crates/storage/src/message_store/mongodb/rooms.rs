//! Making, renaming and deleting rooms. Who is in them is in `members.rs`, how they are shown in `room_views.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use mongodb::ClientSession;
use mongodb::bson::doc;
use protocol::{RoomId, RoomRole, Timestamp, UserId};

use super::super::ids::new_id;
use super::super::owner_rules::may_delete;
use super::super::rooms::{check_kind, must_not_be_direct, no_such_member};
use super::super::{MadeRoom, NewRoom, RoomViewer, StoredRoom};
use super::cached::{BlockLookup, Invalidations};
use super::collections::Collections;
use super::database::Database;
use super::documents::{MemberDocument, PurgeDocument, RoomDocument, existing_room};
use super::failure::{Outcome, bounded};
use super::membership_changes::insert_members;
use super::owners::role_of;
use super::transaction::{in_transaction, to_the_end};
use super::users::Users;
use super::values::time;
use crate::StoreError;

/// Makes and changes rooms. Cloning shares it.
#[derive(Clone)]
pub struct Rooms {
    pub database: Database,
    pub users: Users,
    pub blocks: BlockLookup,
    pub invalidations: Arc<Invalidations>,
}

impl Rooms {
    pub async fn create_room(&self, room: NewRoom, now: Timestamp) -> Result<MadeRoom, StoreError> {
        let store = self.clone();
        to_the_end(async move { store.make_room(room, now).await }).await
    }

    async fn make_room(&self, new: NewRoom, now: Timestamp) -> Outcome<MadeRoom> {
        check_kind(new.kind)?;
        let mut named = HashSet::from([&new.owner]);
        let others: Vec<UserId> = new
            .members
            .iter()
            .filter(|id| named.insert(id))
            .cloned()
            .collect();
        let ids = named.iter().map(|id| id.as_str()).collect();
        let users = self.users.users_by_id(ids).await?;
        if !users.contains_key(&new.owner) {
            return Err(StoreError::NotFound.into());
        }
        if users.len() < named.len() {
            return Err(no_such_member().into());
        }
        if self.blocks.between(&new.owner, &others).await? {
            return Err(StoreError::Forbidden.into());
        }

        let room = RoomDocument::new(RoomId::trusted(new_id()), new.kind, new.name, now);
        let mut members = vec![MemberDocument::new(
            &room.id,
            &new.owner,
            RoomRole::Owner,
            0,
            now,
        )];
        let member = |id| MemberDocument::new(&room.id, id, RoomRole::Member, 0, now);
        members.extend(others.iter().map(member));
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            bounded(collections.rooms.insert_one(&room).session(&mut *session)).await?;
            if let Some(named) = room.named() {
                let public = &collections.public_rooms;
                bounded(public.insert_one(named).session(&mut *session)).await?;
            }
            insert_members(collections, &members, session).await
        })?;
        let room = StoredRoom {
            member_count: members.len() as u64,
            viewer: Some(RoomViewer {
                role: RoomRole::Owner,
                read_seq: 0,
                unread: 0,
            }),
            ..room.stored()
        };
        Ok(MadeRoom {
            room,
            joined: others,
        })
    }

    pub async fn rename_room(&self, room: &RoomId, name: String) -> Result<(), StoreError> {
        let (store, room) = (self.clone(), room.clone());
        to_the_end(async move {
            let renamed = store.give_name(&room, &name).await;
            store.invalidations.room(&room);
            renamed
        })
        .await
    }

    async fn give_name(&self, room: &RoomId, name: &str) -> Outcome<()> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            let mut room = find_room(collections, room, session).await?;
            must_not_be_direct(room.kind)?;
            name.clone_into(&mut room.name);
            let rename = doc! { "$set": { "name": name } };
            let rooms = &collections.rooms;
            bounded(
                rooms
                    .update_one(existing_room(&room.id), rename)
                    .session(&mut *session),
            )
            .await?;
            if let Some(named) = room.named() {
                let by_id = doc! { "_id": room.id.as_str() };
                let public = &collections.public_rooms;
                bounded(public.replace_one(by_id, named).session(&mut *session)).await?;
            }
            Ok(())
        })
    }

    pub async fn delete_room(
        &self,
        room: &RoomId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (store, room, owner) = (self.clone(), room.clone(), owner.clone());
        to_the_end(async move {
            let deleted = store.mark_deleted(&room, &owner, now).await;
            store.invalidations.room(&room);
            deleted
        })
        .await
    }

    async fn mark_deleted(&self, room: &RoomId, owner: &UserId, now: Timestamp) -> Outcome<()> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            find_room(collections, room, session).await?;
            may_delete(role_of(collections, room, owner, session).await?)?;
            let delete = doc! { "$set": { "deletedAt": time(now) } };
            let rooms = &collections.rooms;
            bounded(
                rooms
                    .update_one(existing_room(room), delete)
                    .session(&mut *session),
            )
            .await?;
            let by_id = doc! { "_id": room.as_str() };
            let public = &collections.public_rooms;
            bounded(public.delete_one(by_id).session(&mut *session)).await?;
            let purge = PurgeDocument::of_room(room);
            let insert = collections.purges.insert_one(purge).session(session);
            bounded(insert).await.map(drop)
        })
    }
}

/// `NotFound` if there is no such room.
async fn find_room(
    collections: &Collections,
    room: &RoomId,
    session: &mut ClientSession,
) -> Outcome<RoomDocument> {
    let find = collections
        .rooms
        .find_one(existing_room(room))
        .session(session);
    bounded(find)
        .await?
        .ok_or_else(|| StoreError::NotFound.into())
}
