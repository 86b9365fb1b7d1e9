//! Rooms: making, finding, renaming and deleting them. Their members are in `members.rs`.

use protocol::{Epoch, RoomId, RoomKind, RoomRole, Sender, Timestamp, UserId};

use super::{MessageStore, Page, on_backend};
use crate::StoreError;

/// A room, as one user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Never changes.
    pub id: RoomId,
    /// Public, private or direct.
    pub kind: RoomKind,
    /// Empty for a direct room.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// How many members it has; of a room of a thousand or more up to 13 s old.
    pub member_count: u64,
    /// The `seq` of the last event; 0 in a new room.
    pub head_seq: u64,
    /// The epoch of its log.
    pub epoch: Epoch,
    /// The viewer's membership; absent if the viewer isn't a member.
    pub viewer: Option<RoomViewer>,
    /// The other user of a direct room, if the viewer is one of the two.
    pub peer: Option<Sender>,
}

/// A member's view of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomViewer {
    /// The member's role.
    pub role: RoomRole,
    /// How far the member has read.
    pub read_seq: u64,
    /// Messages of others after that, at most [`super::UNREAD_MAX`].
    pub unread: u64,
}

/// A room that was created or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRoom {
    /// As the user who asked for it sees it.
    pub room: StoredRoom,
    /// The users who became members by this, once each; without the creator of a new room.
    pub joined: Vec<UserId>,
}

/// A room to be created; not a direct one.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Public or private.
    pub kind: RoomKind,
    /// Its name.
    pub name: String,
    /// The creator, who will own it.
    pub owner: UserId,
    /// Its first members; the owner may be among them.
    pub members: Vec<UserId>,
}

/// Refuses to make a room that isn't named as public or private.
pub(super) fn check_kind(kind: RoomKind) -> Result<(), StoreError> {
    match kind {
        RoomKind::Direct => Err(StoreError::invalid("kind", "expected public or private")),
        RoomKind::Public | RoomKind::Private => Ok(()),
    }
}

/// Refuses what isn't possible with direct rooms: another name, another member, another role.
pub(super) fn must_not_be_direct(kind: RoomKind) -> Result<(), StoreError> {
    match kind {
        RoomKind::Direct => Err(StoreError::Forbidden),
        RoomKind::Public | RoomKind::Private => Ok(()),
    }
}

/// Refuses a direct room of a user with themselves.
pub(super) fn check_pair(user: &UserId, peer: &UserId) -> Result<(), StoreError> {
    match user == peer {
        true => Err(StoreError::invalid("members", "expected somebody else")),
        false => Ok(()),
    }
}

/// The refusal of a room with members who don't exist.
pub(super) fn no_such_member() -> StoreError {
    StoreError::conflict("members", "no such user")
}

impl MessageStore {
    /// Makes a public or private room. `Invalid` naming `kind` for a direct one, `Conflict` naming
    /// `members` if one of them doesn't exist; `Forbidden` if one of them and the owner have a block between
    /// them; `NotFound` if the owner doesn't exist.
    pub async fn create_room(&self, room: NewRoom, now: Timestamp) -> Result<MadeRoom, StoreError> {
        on_backend!(self, Write: rooms.create_room(room, now))
    }

    /// The direct room of two users, which is made if there is none. Both are members of it afterwards.
    /// `Invalid` naming `members` if the two are one, `NotFound` if one doesn't exist, `Forbidden`
    /// if one has blocked the other.
    pub async fn direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Result<MadeRoom, StoreError> {
        on_backend!(self, Write: direct_rooms.direct_room(user, peer, now))
    }

    /// A room as `viewer` sees it. Membership isn't required. `NotFound` if there is no such room.
    pub async fn room(
        &self,
        room: &RoomId,
        viewer: Option<&UserId>,
    ) -> Result<StoredRoom, StoreError> {
        on_backend!(self, Read: room_views.room(room, viewer))
    }

    /// Public rooms, in the order of their ids, whose name holds `query` without regard to case and
    /// accents; of a query with fewer than three characters it must begin with it, accents
    /// included. Goes on behind `after`, whether or not there is such a room.
    pub async fn public_rooms(
        &self,
        query: Option<&str>,
        after: Option<&RoomId>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredRoom>, StoreError> {
        on_backend!(self, Search: room_views.public_rooms(query, after, limit, viewer))
    }

    /// The rooms of a user, in the order of their ids, with what is unread in each. Goes on behind
    /// `after`, whether or not there is such a room. `NotFound` if there is no such user.
    pub async fn my_rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<StoredRoom>, StoreError> {
        on_backend!(self, Read: room_views.my_rooms(user, after, limit))
    }

    /// Gives the log of every room a new epoch and returns how many there are. For a database that was restored from a
    /// backup to an earlier point: clients that know later events are told to load their rooms again. To be done before
    /// an instance serves.
    pub async fn renew_epochs(&self) -> Result<u64, StoreError> {
        on_backend!(self, Write: epochs.renew_epochs())
    }

    /// Renames a room. `NotFound` if there is none, `Forbidden` for a direct one.
    pub async fn rename_room(&self, room: &RoomId, name: String) -> Result<(), StoreError> {
        on_backend!(self, Write: rooms.rename_room(room, name))
    }

    /// Deletes a room with its log and messages. It is gone at once; its rows go bit by bit
    /// afterwards. `NotFound` unless `owner` is a member, `Forbidden` unless its owner.
    pub async fn delete_room(
        &self,
        room: &RoomId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_backend!(self, Write: rooms.delete_room(room, owner, now))
    }
}
