//! The members of rooms, their roles, and how far each has read.

use std::collections::HashSet;

use protocol::{RoomId, RoomKind, RoomRole, Timestamp, UserId};

use super::{Backend, MessageStore, Page, StoredUser, on_backend};
use crate::StoreError;

/// Rooms of up to so many members are searched for a member by reading them all.
pub const SMALL_ROOM: u32 = 1_000;

/// In larger rooms: how many of the users found are checked for membership at a time, and how often.
const PART: u32 = 200;
const PARTS: usize = 5;

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMember {
    /// The user.
    pub user: StoredUser,
    /// The member's role.
    pub role: RoomRole,
    /// How far the member has read.
    pub read_seq: u64,
    /// When the user joined.
    pub joined_at: Timestamp,
}

/// A user's membership in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The kind of the room.
    pub kind: RoomKind,
    /// The user's role; absent for a user who isn't a member.
    pub role: Option<RoomRole>,
}

/// A room that a user left because their account was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The room.
    pub room: RoomId,
    /// What else changed there.
    pub removal: Removal,
}

/// What else changed when a user left a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The new owner, if the last one has left.
    pub new_owner: Option<UserId>,
}

impl MessageStore {
    /// Adds a user to a room; false if they are a member already. Earlier messages count as read. `NotFound` if there is
    /// no such room or user, `Forbidden` for a direct room.
    pub async fn add_member(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        on_backend!(self, Write: membership_changes.add_member(room, user, role, now))
    }

    /// Removes a member from a room. When the last owner leaves, the moderator who joined first becomes the owner, or
    /// else the member who did. `NotFound` if there is no such room or the user isn't a member.
    pub async fn remove_member(&self, room: &RoomId, user: &UserId) -> Result<Removal, StoreError> {
        on_backend!(self, Write: membership_changes.remove_member(room, user))
    }

    /// Gives a member another role. `NotFound` if there is no such room or the user isn't a member,
    /// `Conflict` naming `role` for the last owner, `Forbidden` in a direct room.
    pub async fn set_member_role(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
    ) -> Result<(), StoreError> {
        on_backend!(self, Write: membership_changes.set_member_role(room, user, role))
    }

    /// A user's membership in a room; up to ten seconds old where the bus is down. `NotFound` if there is no such room; a
    /// user who doesn't exist isn't a member.
    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Membership, StoreError> {
        on_backend!(self, Read: membership_lookup.membership(room, user))
    }

    /// For each room, those of its users that are members of it, in the order of the rooms: as it is now, nothing cached.
    /// A room that doesn't exist has no members.
    pub async fn members_in_rooms(
        &self,
        rooms: &[(RoomId, Vec<UserId>)],
    ) -> Result<Vec<HashSet<UserId>>, StoreError> {
        on_backend!(self, Read: members.members_in_rooms(rooms))
    }

    /// A user's memberships in several rooms, in their order, read at once; `None` for a room that doesn't exist.
    pub async fn memberships(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Membership>>, StoreError> {
        on_backend!(self, Read: membership_lookup.memberships(user, rooms))
    }

    /// The members of a room, in the order of their ids. Goes on behind `after`, whether or not there is
    /// such a user. `NotFound` if there is no such room.
    pub async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredMember>, StoreError> {
        on_backend!(self, Read: members.members(room, after, limit))
    }

    /// Members of a room whose username or display name holds `query`, without regard to case, width and accents, in the order
    /// of their ids. Of rooms with more than [`SMALL_ROOM`] members, those who are among the first users found by
    /// [`MessageStore::find_users`]; whose username it is, is found in any case. Errors as of
    /// [`MessageStore::members`].
    pub async fn find_members(
        &self,
        room: &RoomId,
        query: &str,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredMember>, StoreError> {
        let all = self.members(room, after, SMALL_ROOM).await?;
        let wanted = limit as usize + 1;
        if !all.has_more {
            let query = text::fold(query);
            let holds = |member: &StoredMember| {
                let names = [&member.user.username, &member.user.display_name];
                !query.is_empty() && names.iter().any(|name| text::fold(name).contains(&query))
            };
            let found = all.items.into_iter().filter(holds).take(wanted);
            return Ok(Page::cut(found.collect(), limit));
        }
        let mut found = match after {
            Some(_) => Vec::new(),
            None => self.members_among(room, &[], &[query.to_owned()]).await?,
        };
        let mut after = after.cloned();
        for _ in 0..PARTS {
            let part = self.find_users(query, after.as_ref(), PART).await?;
            let ids: Vec<UserId> = part.items.into_iter().map(|user| user.id).collect();
            for member in self.members_among(room, &ids, &[]).await? {
                if !found.iter().any(|known| known.user.id == member.user.id) {
                    found.push(member);
                }
            }
            after = ids.last().cloned().or(after);
            if !part.has_more || found.len() >= wanted {
                break;
            }
        }
        Ok(Page::cut(found, limit))
    }

    /// Those of these users, by their ids or by their usernames without regard to case, who are in a room, those by their
    /// ids in the order of ids. `NotFound` if there is no such room.
    pub async fn members_among(
        &self,
        room: &RoomId,
        ids: &[UserId],
        usernames: &[String],
    ) -> Result<Vec<StoredMember>, StoreError> {
        on_backend!(self, Read: members.members_among(room, ids, usernames))
    }

    /// One member of a room. `NotFound` if there is no such room or the user isn't a member.
    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<StoredMember, StoreError> {
        on_backend!(self, Read: members.member(room, user))
    }

    /// The ids of a room's members, in their order. Goes on behind `after`, whether or not there
    /// is such a user. `NotFound` if there is no such room.
    pub async fn member_ids(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<UserId>, StoreError> {
        on_backend!(self, Read: members.member_ids(room, after, limit))
    }

    /// The ids of a user's rooms, in their order. Goes on behind `after`, whether or not there
    /// is such a room. `NotFound` if there is no such user.
    pub async fn room_ids(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<RoomId>, StoreError> {
        on_backend!(self, Read: memberships.room_ids(user, after, limit))
    }

    /// Sets how far a member has read, never back and never beyond the head, and returns how far that is. `NotFound` if there is no such room or the user isn't a member.
    pub async fn set_read(
        &self,
        room: &RoomId,
        user: &UserId,
        seq: u64,
    ) -> Result<u64, StoreError> {
        on_backend!(self, Write: membership_changes.set_read(room, user, seq))
    }

    /// Invalidates what is cached of a user's membership in a room, because another instance has changed it. The embedded
    /// store caches nothing.
    pub fn forget_member(&self, room: &RoomId, user: &UserId) {
        match &self.backend {
            Backend::Sqlite(_) => {}
            Backend::Mongodb(store) => store.parts.invalidations.membership(room, user),
        }
    }

    /// As [`MessageStore::forget_member`], for a room that was changed or deleted.
    pub fn forget_room(&self, room: &RoomId) {
        match &self.backend {
            Backend::Sqlite(_) => {}
            Backend::Mongodb(store) => store.parts.invalidations.room(room),
        }
    }

    /// As [`MessageStore::forget_member`], for a user whose name, blocks or account changed.
    pub fn forget_user(&self, user: &UserId) {
        match &self.backend {
            Backend::Sqlite(_) => {}
            Backend::Mongodb(store) => store.parts.invalidations.user(user),
        }
    }

    /// As [`MessageStore::forget_member`], for everything: changes may have been missed.
    pub fn forget_everything(&self) {
        match &self.backend {
            Backend::Sqlite(_) => {}
            Backend::Mongodb(store) => store.parts.invalidations.everything(),
        }
    }
}
