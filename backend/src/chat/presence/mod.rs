//! Who is online in a room: whoever has a connection subscribed to it, on any instance. Exact by user, however many
//! connections they have. Sent at most once: as single changes in small rooms, as a count at a bounded rate in large
//! ones.
//!
//! A single instance sends each change as it happens. In a fleet every instance keeps the users of its own connections in
//! Redis (`sets.rs`), and sends its own subscribers the difference between the union of all instances and what it
//! published last: whatever is lost on the way, the next check corrects it.

mod local_users;
mod notices;
mod partition;
pub mod sets;

use std::sync::Arc;

use dashmap::DashSet;
use gateway::Hub;
use protocol::{Presence as PresenceAnswer, RoomId, UserId, limits::ONLINE_MAX};

pub use local_users::LocalUsers;

use self::{
    notices::{COUNT_EVERY, PresenceNotices},
    sets::PresenceSets,
};
use super::blocked_rooms::BlockedRooms;
use crate::error::AppError;

/// Presence of users in rooms.
pub struct Presence {
    local: Arc<LocalUsers>,
    notices: PresenceNotices,
    blocked_rooms: Arc<BlockedRooms>,
    /// Large rooms whose count changed since it was sent; of a single instance.
    changed: DashSet<RoomId>,
    /// Of an instance of a fleet.
    sets: Option<PresenceSets>,
}

/// A connection that is about to subscribe. Dropped without [`Entering::subscribed`], it isn't counted.
pub struct Entering<'a> {
    presence: &'a Presence,
    room: &'a RoomId,
    user: &'a UserId,
    is_first: bool,
    subscribed: bool,
}

impl Entering<'_> {
    /// The connection is subscribed. The end of that is a call of [`Presence::leave`].
    pub fn subscribed(mut self) {
        self.subscribed = true;
        if self.is_first {
            let count = self.presence.local.count(self.room);
            self.presence
                .changed_here(self.room, self.user, true, count);
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.subscribed {
            self.presence.leave(self.room, self.user);
        }
    }
}

impl Presence {
    /// Presence of a single instance.
    pub fn in_process(hub: Hub, blocked_rooms: Arc<BlockedRooms>) -> Self {
        Self {
            local: Arc::default(),
            notices: PresenceNotices::new(hub),
            blocked_rooms,
            changed: DashSet::new(),
            sets: None,
        }
    }

    /// Presence of an instance of a fleet.
    pub fn of_fleet(
        hub: Hub,
        blocked_rooms: Arc<BlockedRooms>,
        sets: impl FnOnce(Arc<LocalUsers>) -> PresenceSets,
    ) -> Self {
        let alone = Self::in_process(hub, blocked_rooms);
        Self {
            sets: Some(sets(alone.local.clone())),
            ..alone
        }
    }

    /// The users of this instance's connections.
    pub fn local(&self) -> &Arc<LocalUsers> {
        &self.local
    }

    /// A connection of `user` is about to subscribe to `room`. It is counted before it does, so that a subscription that
    /// ends at once finds something to take back.
    pub fn enter<'a>(&'a self, room: &'a RoomId, user: &'a UserId) -> Entering<'a> {
        Entering {
            is_first: self.local.add(room, user),
            presence: self,
            room,
            user,
            subscribed: false,
        }
    }

    /// A subscription of `user` to `room` ended.
    pub fn leave(&self, room: &RoomId, user: &UserId) {
        if let Some(left) = self.local.remove(room, user) {
            self.changed_here(room, user, false, left);
        }
    }

    /// A room was deleted.
    pub fn remove_room(&self, room: &RoomId) {
        self.local.remove_room(room);
        self.changed.remove(room);
        if let Some(sets) = &self.sets {
            sets.remove_room(room);
        }
    }

    /// Users online in `room`, as far as this instance knows.
    pub fn count(&self, room: &RoomId) -> usize {
        let local = self.local.count(room);
        match &self.sets {
            None => local,
            Some(sets) => sets.published(room).max(local),
        }
    }

    /// Another instance says that who is online in `room` changed.
    pub fn changed_elsewhere(&self, room: &RoomId) {
        if let Some(sets) = &self.sets
            && self.local.count(room) > 0
        {
            sets.schedule_check(room);
        }
    }

    /// Who is online may have changed in any room.
    pub fn mark_all_stale(&self) {
        if let Some(sets) = &self.sets {
            sets.schedule_all();
        }
    }

    fn changed_here(&self, room: &RoomId, user: &UserId, online: bool, count: usize) {
        if let Some(sets) = &self.sets {
            sets.record_change(room, user, count == 0);
        } else if self.blocked_rooms.has(room) {
            // Neither of the two hears of the other.
        } else if count > ONLINE_MAX {
            self.changed.insert(room.clone());
        } else {
            self.notices.user(room, user, online);
        }
    }

    /// On a single instance: sends a room that all its users went online, or offline.
    pub fn announce_all(&self, room: &RoomId, online: bool) {
        for user in self.local.of_room(room) {
            self.notices.user(room, &user, online);
        }
    }

    /// Sends what is sent from time to time, for ever.
    pub async fn run(&self) {
        match &self.sets {
            None => self.send_counts().await,
            Some(sets) => sets.run().await,
        }
    }

    async fn send_counts(&self) {
        let mut ticks = tokio::time::interval(COUNT_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let changed: Vec<RoomId> = self.changed.iter().map(|room| room.clone()).collect();
            for room in changed {
                self.changed.remove(&room);
                self.notices.count(&room, self.local.count(&room) as u64);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Who is online in a room, at most [`ONLINE_MAX`] by their ids.
    ///
    /// # Errors
    /// `unavailable` while the instances can't tell each other.
    pub async fn online(&self, room: &RoomId) -> Result<PresenceAnswer, AppError> {
        match &self.sets {
            Some(sets) => sets.online(room).await,
            None => {
                let (count, online) = self.local.some_of(room, ONLINE_MAX);
                Ok(PresenceAnswer {
                    count: count as u64,
                    online,
                })
            }
        }
    }
}
