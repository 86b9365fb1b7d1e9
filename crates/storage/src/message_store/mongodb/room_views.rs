//! Rooms as a user sees them: with their heads and members counted, the viewer's membership, and the other user of a direct
//! room. Lists of them cost a handful of reads, however long.

use std::collections::HashMap;

use mongodb::bson::doc;
use protocol::{RoomId, UserId};

use super::super::{Page, RoomViewer, StoredRoom};
use super::cached::{MemberCounts, People, RoomLookup};
use super::database::Database;
use super::documents::RoomDocument;
use super::failure::Outcome;
use super::log::{Unread, VisibleHeads};
use super::memberships::Memberships;
use super::name_index::{behind, holding};
use super::query::{SEARCH_TIME, all};
use crate::StoreError;

/// Shows rooms. Cloning shares it.
#[derive(Clone)]
pub struct RoomViews {
    pub database: Database,
    pub rooms: RoomLookup,
    pub counts: MemberCounts,
    pub heads: VisibleHeads,
    pub unread: Unread,
    pub people: People,
    pub memberships: Memberships,
}

impl RoomViews {
    pub async fn room(
        &self,
        room: &RoomId,
        viewer: Option<&UserId>,
    ) -> Result<StoredRoom, StoreError> {
        let room = self.rooms.document(room).await?;
        Ok(self.view(room, viewer).await?)
    }

    pub async fn view(&self, room: RoomDocument, viewer: Option<&UserId>) -> Outcome<StoredRoom> {
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
            self.counts.of(&ids),
            self.heads.read_all(&ids),
            self.viewers(&ids, viewer),
            self.people.senders(&known),
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

    /// A user's memberships in those of these rooms that the user is a member of.
    async fn viewers(
        &self,
        rooms: &[RoomId],
        viewer: Option<&UserId>,
    ) -> Outcome<HashMap<RoomId, RoomViewer>> {
        let Some(user) = viewer else {
            return Ok(HashMap::new());
        };
        let rooms: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
        let members = &self.database.collections().await?.members;
        let own = doc! { "roomId": { "$in": rooms }, "userId": user.as_str() };
        let own = all(members.find(own)).await?;
        let read: Vec<(RoomId, u64)> = own
            .iter()
            .map(|member| (member.room_id.clone(), member.read()))
            .collect();
        let unread = self.unread.unread_in(user, &read).await?;
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
        let after = after.map(RoomId::as_str);
        let collections = self.database.collections().await?;
        let find = collections
            .public_rooms
            .find(match query {
                Some(query) if !query.is_empty() => holding(query, after),
                _ => behind(after),
            })
            .sort(doc! { "_id": 1 })
            .limit(i64::from(limit) + 1)
            .max_time(SEARCH_TIME);
        let page = Page::cut(all(find).await?, limit);
        let ids = page.items.iter().map(|named| named.id.as_str()).collect();
        Ok(Page {
            items: self.views(self.rooms.documents(ids).await?, viewer).await?,
            has_more: page.has_more,
        })
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
        let page = self.memberships.rooms_of(user, after, limit).await?;
        let ids = page.items.iter().map(RoomId::as_str).collect();
        Ok(Page {
            items: self
                .views(self.rooms.documents(ids).await?, Some(user))
                .await?,
            has_more: page.has_more,
        })
    }
}
