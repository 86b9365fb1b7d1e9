//! Rooms: making, finding, renaming and deleting them. Who is in them is in `members.rs`.
//!
//! The id of a direct room is made of the ids of its two, so that there is one however often and wherever it is made at
//! once. It sorts behind the ids of all others.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{DateTime, Document, doc};
use protocol::{Epoch, RoomId, RoomKind, RoomRole, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{NewRoom, Page, RoomViewer, StoredRoom};
use super::MongoStore;
use super::collections::{Collections, all};
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::members::{self, MemberDocument};
use super::name_index::{Named, holding};
use super::purge::Purge;
use super::transaction::{in_transaction, to_the_end};
use super::users::{new_id, time, timestamp};
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
    fn new(id: RoomId, kind: RoomKind, name: String, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            name,
            created_at: time(now),
            // Random, so that a room restored twice from one backup has two different epochs.
            epoch: new_id().chars().rev().take(8).collect(),
            floor_seq: 0,
            head_hint: 0,
            pair: None,
            leading: 0,
            deleted_at: None,
        }
    }

    fn stored(self) -> StoredRoom {
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

    fn named(&self) -> Option<Named> {
        (self.kind == RoomKind::Public).then(|| Named::new(self.id.as_str(), &[&self.name]))
    }
}

/// Selects a room that isn't deleted.
pub(super) fn existing(room: &RoomId) -> Document {
    doc! { "_id": room.as_str(), "deletedAt": null }
}

/// The room of two users, the smaller id first. 160 bits of a hash: no two pairs have the same.
fn direct_id((low, high): &(UserId, UserId)) -> RoomId {
    let hash = Sha256::new()
        .chain_update(low.as_str())
        .chain_update("\n")
        .chain_update(high.as_str())
        .finalize();
    let digits: String = hash[..20]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    RoomId::trusted(format!("direct-{digits}"))
}

impl MongoStore {
    pub async fn create_room(
        &self,
        room: NewRoom,
        now: Timestamp,
    ) -> Result<StoredRoom, StoreError> {
        let store = self.clone();
        to_the_end(async move { store.make_room(room, now).await }).await
    }

    async fn make_room(&self, new: NewRoom, now: Timestamp) -> Outcome<StoredRoom> {
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
            return Err(StoreError::invalid("members", "expected ids of users").into());
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
        Ok(StoredRoom {
            member_count: members.len() as u64,
            viewer: Some(RoomViewer {
                role: RoomRole::Owner,
                read_seq: 0,
                unread: 0,
            }),
            ..room.stored()
        })
    }

    pub async fn direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Result<(StoredRoom, bool), StoreError> {
        let (store, user, peer) = (self.clone(), user.clone(), peer.clone());
        to_the_end(async move { store.make_direct_room(&user, &peer, now).await }).await
    }

    async fn make_direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Outcome<(StoredRoom, bool)> {
        if user == peer {
            return Err(StoreError::invalid("members", "expected somebody else").into());
        }
        let pair = (user.min(peer).clone(), user.max(peer).clone());
        let users = self.users_by_id(vec![user.as_str(), peer.as_str()]).await?;
        if users.len() < 2 {
            return Err(StoreError::NotFound.into());
        }
        if self.is_between(user, std::slice::from_ref(peer)).await? {
            return Err(StoreError::Forbidden.into());
        }
        let id = direct_id(&pair);
        let both = [user.clone(), peer.clone()];
        let (room, is_new) = match self.room_document(&id).await {
            Err(Failure::Refused(StoreError::NotFound)) => {
                let mut room = RoomDocument::new(id, RoomKind::Direct, String::new(), now);
                room.pair = Some(pair);
                match self.insert_direct_room(&room, &both, now).await {
                    // Made by somebody else at the same time.
                    Err(Failure::Mongodb(error)) if is_duplicate(&error) => {
                        (self.room_document(&room.id).await?, false)
                    }
                    made => {
                        made?;
                        (room, true)
                    }
                }
            }
            found => (found?, false),
        };
        if !is_new {
            self.bring_back(&room.id, &both, now).await?;
        }
        Ok((self.view(room, Some(user)).await?, is_new))
    }

    async fn insert_direct_room(
        &self,
        room: &RoomDocument,
        both: &[UserId; 2],
        now: Timestamp,
    ) -> Outcome<()> {
        let member = |id| MemberDocument::new(&room.id, id, RoomRole::Member, 0, now);
        let members = both.each_ref().map(member);
        let collections = self.collections().await?;
        in_transaction!(self, async |session| {
            bounded(collections.rooms.insert_one(room).session(&mut *session)).await?;
            members::insert(collections, &members, session).await
        })
    }

    /// Makes those of the two members who left before.
    async fn bring_back(&self, room: &RoomId, both: &[UserId; 2], now: Timestamp) -> Outcome<()> {
        for user in both {
            if self.member_document(room, user).await?.is_none() {
                self.join(room, user, RoomRole::Member, now).await?;
            }
        }
        Ok(())
    }

    /// `NotFound` if there is no such room.
    pub(super) async fn room_document(&self, room: &RoomId) -> Outcome<RoomDocument> {
        let rooms = &self.collections().await?.rooms;
        let found = bounded(rooms.find_one(existing(room))).await?;
        found.ok_or_else(|| StoreError::NotFound.into())
    }

    pub async fn room(
        &self,
        room: &RoomId,
        viewer: Option<&UserId>,
    ) -> Result<StoredRoom, StoreError> {
        let room = self.room_document(room).await?;
        Ok(self.view(room, viewer).await?)
    }

    async fn view(&self, room: RoomDocument, viewer: Option<&UserId>) -> Outcome<StoredRoom> {
        let seen = self.views(vec![room], viewer).await?.pop();
        seen.ok_or_else(|| StoreError::internal("a room isn't seen").into())
    }

    /// Rooms as `viewer` sees them, in the order given.
    async fn views(
        &self,
        rooms: Vec<RoomDocument>,
        viewer: Option<&UserId>,
    ) -> Outcome<Vec<StoredRoom>> {
        let ids: Vec<RoomId> = rooms.iter().map(|room| room.id.clone()).collect();
        let peer_of = |pair: &(UserId, UserId)| match viewer {
            Some(viewer) if *viewer == pair.0 => Some(pair.1.clone()),
            Some(viewer) if *viewer == pair.1 => Some(pair.0.clone()),
            _ => None,
        };
        let peer_ids: Vec<Option<UserId>> = rooms
            .iter()
            .map(|room| room.pair.as_ref().and_then(peer_of))
            .collect();
        let known: Vec<UserId> = peer_ids.iter().flatten().cloned().collect();
        let (counts, heads, mut viewers, peers) = tokio::try_join!(
            self.member_counts(&ids),
            self.heads(&ids),
            self.viewers(&ids, viewer),
            self.senders(&known),
        )?;
        let mut peers = peers.into_iter();
        let rooms = rooms.into_iter().zip(heads).zip(peer_ids);
        let seen = rooms.map(|((room, head_seq), peer)| StoredRoom {
            member_count: counts.get(&room.id).copied().unwrap_or(0),
            head_seq,
            viewer: viewers.remove(&room.id),
            peer: peer.and_then(|_| peers.next()),
            ..room.stored()
        });
        Ok(seen.collect())
    }

    /// What rooms are to a user, for those that the user is in.
    async fn viewers(
        &self,
        rooms: &[RoomId],
        viewer: Option<&UserId>,
    ) -> Outcome<HashMap<RoomId, RoomViewer>> {
        let Some(user) = viewer else {
            return Ok(HashMap::new());
        };
        let rooms: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
        let members = &self.collections().await?.members;
        let own = doc! { "roomId": { "$in": rooms }, "userId": user.as_str() };
        let own = all(members.find(own)).await?;
        let read: Vec<(RoomId, u64)> = own
            .iter()
            .map(|member| (member.room_id.clone(), member.read()))
            .collect();
        let unread = self.unread_in(user, &read).await?;
        let viewers = own.into_iter().zip(unread).map(|(member, unread)| {
            let viewer = RoomViewer {
                role: member.role,
                read_seq: member.read(),
                unread,
            };
            (member.room_id, viewer)
        });
        Ok(viewers.collect())
    }

    pub async fn public_rooms(
        &self,
        query: Option<&str>,
        after: Option<&RoomId>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredRoom>, StoreError> {
        Ok(self.find_public_rooms(query, after, limit, viewer).await?)
    }

    async fn find_public_rooms(
        &self,
        query: Option<&str>,
        after: Option<&RoomId>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Outcome<Page<StoredRoom>> {
        self.must_have_been_room(after).await?;
        let find = self
            .collections()
            .await?
            .public_rooms
            .find(holding(
                query.unwrap_or_default(),
                after.map(RoomId::as_str),
            ))
            .sort(doc! { "_id": 1 })
            .limit(i64::from(limit) + 1);
        let page = Page::cut(all(find).await?, limit);
        let ids = page.items.iter().map(|named| named.id.as_str()).collect();
        Ok(Page {
            items: self.views(self.rooms_by_id(ids).await?, viewer).await?,
            has_more: page.has_more,
        })
    }

    /// Those of these rooms that exist, in the order of their ids.
    async fn rooms_by_id(&self, ids: Vec<&str>) -> Outcome<Vec<RoomDocument>> {
        let rooms = &self.collections().await?.rooms;
        let filter = doc! { "_id": { "$in": ids }, "deletedAt": null };
        let mut rooms = all(rooms.find(filter)).await?;
        rooms.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rooms)
    }

    pub async fn my_rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<StoredRoom>, StoreError> {
        Ok(self.find_my_rooms(user, after, limit).await?)
    }

    async fn find_my_rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Outcome<Page<StoredRoom>> {
        let page = self.rooms_of(user, after, limit).await?;
        let ids = page.items.iter().map(RoomId::as_str).collect();
        Ok(Page {
            items: self.views(self.rooms_by_id(ids).await?, Some(user)).await?,
            has_more: page.has_more,
        })
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
            match members::role_of(collections, room, owner, session).await? {
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

    /// `Invalid` naming `after` if there is no trace of that room.
    pub(super) async fn must_have_been_room(&self, after: Option<&RoomId>) -> Outcome<()> {
        let Some(room) = after else { return Ok(()) };
        let rooms = &self.collections().await?.rooms;
        let rooms = rooms.clone_with_type::<Document>();
        let find = rooms
            .find_one(doc! { "_id": room.as_str() })
            .projection(doc! { "_id": 1 });
        match bounded(find).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::invalid("after", "no such room").into()),
        }
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
