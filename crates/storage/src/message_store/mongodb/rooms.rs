//! Rooms: making, renaming and deleting them. Who is in them is in `members.rs`, how they are shown in `room_views.rs`.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc};
use protocol::{Epoch, RoomId, RoomKind, RoomRole, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::super::ids::{new_epoch, new_id};
use super::super::{MadeRoom, NewRoom, RoomViewer, StoredRoom};
use super::MongoStore;
use super::collections::Collections;
use super::failure::{Outcome, bounded};
use super::members::{self, MemberDocument};
use super::name_index::Named;
use super::owners::role_of;
use super::purge::Purge;
use super::transaction::{in_transaction, to_the_end};
use super::values::{time, timestamp};
use crate::StoreError;

/// A room, deleted or not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomDocument {
    #[serde(rename = "_id")]
    pub id: RoomId,
    pub kind: RoomKind,
    pub name: String,
    created_at: DateTime,
    pub epoch: String,
    /// The head of the log when entries were last removed from its beginning.
    floor_seq: i64,
    /// A `seq` that the head has certainly passed.
    head_hint: i64,
    /// The two of a direct room, the smaller id first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<(UserId, UserId)>,
    /// Grows whenever somebody becomes or ceases to be an owner: of two such changes at once one waits for the other,
    /// so that both together can't leave a room without an owner.
    leading: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
}

impl RoomDocument {
    pub(super) fn new(id: RoomId, kind: RoomKind, name: String, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            name,
            created_at: time(now),
            epoch: new_epoch(),
            floor_seq: 0,
            head_hint: 0,
            pair: None,
            leading: 0,
            deleted_at: None,
        }
    }

    /// What it shows by itself.
    pub(super) fn stored(self) -> StoredRoom {
        StoredRoom {
            id: self.id,
            kind: self.kind,
            name: self.name,
            created_at: timestamp(self.created_at),
            member_count: 0,
            head_seq: 0,
            epoch: Epoch::new(self.epoch),
            viewer: None,
            peer: None,
        }
    }

    pub(super) fn named(&self) -> Option<Named> {
        (self.kind == RoomKind::Public).then(|| Named::new(self.id.as_str(), &[&self.name]))
    }
}

/// Selects a room that isn't deleted.
pub(super) fn existing(room: &RoomId) -> Document {
    doc! { "_id": room.as_str(), "deletedAt": null }
}

impl MongoStore {
    pub async fn create_room(&self, room: NewRoom, now: Timestamp) -> Result<MadeRoom, StoreError> {
        let store = self.clone();
        to_the_end(async move { store.make_room(room, now).await }).await
    }

    async fn make_room(&self, new: NewRoom, now: Timestamp) -> Outcome<MadeRoom> {
        if new.kind == RoomKind::Direct {
            return Err(StoreError::invalid("kind", "expected public or private").into());
        }
        let mut named = HashSet::from([&new.owner]);
        let others: Vec<UserId> = new
            .members
            .iter()
            .filter(|id| named.insert(id))
            .cloned()
            .collect();
        let ids = named.iter().map(|id| id.as_str()).collect();
        let users = self.users_by_id(ids).await?;
        if !users.contains_key(&new.owner) {
            return Err(StoreError::NotFound.into());
        }
        if users.len() < named.len() {
            return Err(StoreError::conflict("members", "no such user").into());
        }
        if self.is_between(&new.owner, &others).await? {
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
        let collections = self.collections().await?;
        in_transaction!(self, async |session| {
            bounded(collections.rooms.insert_one(&room).session(&mut *session)).await?;
            if let Some(named) = room.named() {
                let public = &collections.public_rooms;
                bounded(public.insert_one(named).session(&mut *session)).await?;
            }
            members::insert(collections, &members, session).await
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

    /// `NotFound` if there is no such room.
    pub(super) async fn room_document(&self, room: &RoomId) -> Outcome<RoomDocument> {
        let rooms = &self.collections().await?.rooms;
        let found = bounded(rooms.find_one(existing(room))).await?;
        found.ok_or_else(|| StoreError::NotFound.into())
    }

    pub async fn rename_room(&self, room: &RoomId, name: String) -> Result<(), StoreError> {
        let (store, room) = (self.clone(), room.clone());
        to_the_end(async move {
            let renamed = store.give_name(&room, &name).await;
            store.forget_room(&room);
            renamed
        })
        .await
    }

    async fn give_name(&self, room: &RoomId, name: &str) -> Outcome<()> {
        let collections = self.collections().await?;
        in_transaction!(self, async |session| {
            let mut room = find_room(collections, room, session).await?;
            if room.kind == RoomKind::Direct {
                return Err(StoreError::Forbidden.into());
            }
            name.clone_into(&mut room.name);
            let rename = doc! { "$set": { "name": name } };
            let rooms = &collections.rooms;
            bounded(
                rooms
                    .update_one(existing(&room.id), rename)
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
            store.forget_room(&room);
            deleted
        })
        .await
    }

    async fn mark_deleted(&self, room: &RoomId, owner: &UserId, now: Timestamp) -> Outcome<()> {
        let collections = self.collections().await?;
        in_transaction!(self, async |session| {
            find_room(collections, room, session).await?;
            match role_of(collections, room, owner, session).await? {
                Some(RoomRole::Owner) => {}
                Some(_) => return Err(StoreError::Forbidden.into()),
                None => return Err(StoreError::NotFound.into()),
            }
            let delete = doc! { "$set": { "deletedAt": time(now) } };
            let rooms = &collections.rooms;
            bounded(
                rooms
                    .update_one(existing(room), delete)
                    .session(&mut *session),
            )
            .await?;
            let by_id = doc! { "_id": room.as_str() };
            let public = &collections.public_rooms;
            bounded(public.delete_one(by_id).session(&mut *session)).await?;
            Purge::of_room(room).insert(collections, session).await
        })
    }
}

/// `NotFound` if there is no such room.
async fn find_room(
    collections: &Collections,
    room: &RoomId,
    session: &mut mongodb::ClientSession,
) -> Outcome<RoomDocument> {
    let find = collections.rooms.find_one(existing(room)).session(session);
    bounded(find)
        .await?
        .ok_or_else(|| StoreError::NotFound.into())
}
