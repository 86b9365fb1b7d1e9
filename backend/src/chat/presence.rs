//! Who is online in a room: whoever has a connection subscribed to it. Exact by user, however many connections they
//! have. Told at most once: as single changes in small rooms, as a count at a bounded rate in large ones.

use std::{collections::HashMap, time::Duration};

use dashmap::{DashMap, DashSet};
use gateway::Hub;
use protocol::{
    GetPresence, Presence as PresenceAnswer, PresenceChanged, PresenceCount, RoomId, UserId,
    limits::ONLINE_MAX,
};

use super::{access, topics, wire::frame};
use crate::{actor::Actor, app::App, error::AppError};

/// How often counts of large rooms are told.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Subscribed connections by room and user.
#[derive(Default)]
pub struct Presence {
    rooms: DashMap<RoomId, HashMap<UserId, u32>>,
    /// Large rooms whose count changed since it was told.
    changed: DashSet<RoomId>,
}

/// A connection that is about to subscribe; dropped without having done so, it isn't there.
pub struct Entering<'a> {
    presence: &'a Presence,
    hub: &'a Hub,
    room: &'a RoomId,
    user: &'a UserId,
    is_first: bool,
    subscribed: bool,
}

impl Entering<'_> {
    /// The connection is subscribed. From here on its end is told by [`Presence::leave`].
    pub fn subscribed(mut self) {
        self.subscribed = true;
        if self.is_first {
            let count = self.presence.count(self.room);
            self.presence
                .tell(self.hub, self.room, self.user, true, count);
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.subscribed {
            self.presence.leave(self.hub, self.room, self.user);
        }
    }
}

impl Presence {
    /// A connection of `user` is about to subscribe to `room`. Counted before it does, so that a subscription that
    /// ends at once finds something to take back.
    pub fn enter<'a>(&'a self, hub: &'a Hub, room: &'a RoomId, user: &'a UserId) -> Entering<'a> {
        let mut users = self.rooms.entry(room.clone()).or_default();
        let connections = users.entry(user.clone()).or_default();
        *connections += 1;
        Entering {
            is_first: *connections == 1,
            presence: self,
            hub,
            room,
            user,
            subscribed: false,
        }
    }

    /// A subscription of `user` to `room` ended.
    pub fn leave(&self, hub: &Hub, room: &RoomId, user: &UserId) {
        let count = {
            let Some(mut users) = self.rooms.get_mut(room) else {
                return;
            };
            let Some(connections) = users.get_mut(user) else {
                return;
            };
            *connections -= 1;
            if *connections > 0 {
                return;
            }
            users.remove(user);
            users.len()
        };
        if count == 0 {
            self.rooms.remove_if(room, |_, users| users.is_empty());
        }
        self.tell(hub, room, user, false, count);
    }

    /// A room is no more.
    pub fn forget(&self, room: &RoomId) {
        self.rooms.remove(room);
        self.changed.remove(room);
    }

    /// Users online in `room`.
    pub fn count(&self, room: &RoomId) -> usize {
        self.rooms.get(room).map_or(0, |users| users.len())
    }

    fn online(&self, room: &RoomId) -> PresenceAnswer {
        let Some(users) = self.rooms.get(room) else {
            return PresenceAnswer {
                count: 0,
                online: Vec::new(),
            };
        };
        PresenceAnswer {
            count: users.len() as u64,
            online: users.keys().take(ONLINE_MAX).cloned().collect(),
        }
    }

    fn tell(&self, hub: &Hub, room: &RoomId, user: &UserId, online: bool, count: usize) {
        if count > ONLINE_MAX {
            self.changed.insert(room.clone());
            return;
        }
        let changed = PresenceChanged {
            room_id: room.clone(),
            user_id: user.clone(),
            online,
        };
        if let Some(frame) = frame(&changed) {
            hub.publish(&topics::room(room), &frame.volatile());
        }
    }

    /// Tells the counts of large rooms as they change, for ever.
    pub async fn tell_counts(&self, hub: &Hub) {
        let mut ticks = tokio::time::interval(COUNT_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let changed: Vec<RoomId> = self.changed.iter().map(|room| room.clone()).collect();
            for room_id in changed {
                self.changed.remove(&room_id);
                let count = self.count(&room_id) as u64;
                let topic = topics::room(&room_id);
                if let Some(frame) = frame(&PresenceCount { room_id, count }) {
                    hub.publish(&topic, &frame.volatile());
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// `presence:get`: for members only.
///
/// # Errors
/// As [`access::member`].
pub async fn get(
    app: &App,
    actor: &Actor,
    request: GetPresence,
) -> Result<PresenceAnswer, AppError> {
    access::member(app, actor, &request.room_id).await?;
    Ok(app.presence.online(&request.room_id))
}
