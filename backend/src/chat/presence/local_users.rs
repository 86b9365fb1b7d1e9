//! The users who are subscribed to rooms by connections of this instance.

use std::collections::HashMap;

use dashmap::DashMap;
use protocol::{RoomId, UserId};

/// Subscribed connections by room and user.
#[derive(Default)]
pub struct LocalUsers(DashMap<RoomId, HashMap<UserId, u32>>);

impl LocalUsers {
    /// Adds a connection. True if it is the user's first one in the room.
    pub(super) fn add(&self, room: &RoomId, user: &UserId) -> bool {
        let mut users = self.0.entry(room.clone()).or_default();
        let connections = users.entry(user.clone()).or_default();
        *connections += 1;
        *connections == 1
    }

    /// Removes a connection. If it was the user's last one in the room, returns the number of users who are left.
    pub(super) fn remove(&self, room: &RoomId, user: &UserId) -> Option<usize> {
        let left = {
            let mut users = self.0.get_mut(room)?;
            let connections = users.get_mut(user)?;
            *connections -= 1;
            if *connections > 0 {
                return None;
            }
            users.remove(user);
            users.len()
        };
        if left == 0 {
            self.0.remove_if(room, |_, users| users.is_empty());
        }
        Some(left)
    }

    pub(super) fn remove_room(&self, room: &RoomId) {
        self.0.remove(room);
    }

    /// The number of users of a room.
    pub fn count(&self, room: &RoomId) -> usize {
        self.0.get(room).map_or(0, |users| users.len())
    }

    /// True if a user is subscribed to a room.
    pub fn contains(&self, room: &RoomId, user: &UserId) -> bool {
        self.0
            .get(room)
            .is_some_and(|users| users.contains_key(user))
    }

    /// The number of users of a room, and some of them, at most `max`.
    pub fn some_of(&self, room: &RoomId, max: usize) -> (usize, Vec<UserId>) {
        let Some(users) = self.0.get(room) else {
            return (0, Vec::new());
        };
        (users.len(), users.keys().take(max).cloned().collect())
    }

    /// The users of a room.
    pub fn of_room(&self, room: &RoomId) -> Vec<UserId> {
        self.some_of(room, usize::MAX).1
    }

    /// The rooms with users.
    pub fn rooms(&self) -> Vec<RoomId> {
        self.0.iter().map(|room| room.key().clone()).collect()
    }
}
