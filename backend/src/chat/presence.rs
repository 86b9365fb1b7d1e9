//! Who is online in a room: whoever has a connection subscribed to it, on any instance. Exact by user, however many
//! connections they have. Told at most once: as single changes in small rooms, as a count at a bounded rate in large
//! ones.
//!
//! A server that is alone tells each change as it happens. In a fleet every instance keeps the users of its own
//! connections in Redis (`presence_sets.rs`), and tells its own subscribers how the union of all instances differs from
//! what it told them last: whatever is lost on the way, the next look puts it right.

use std::{collections::HashMap, time::Duration};

use dashmap::{DashMap, DashSet};
use protocol::{
    GetPresence, Presence as PresenceAnswer, PresenceChanged, PresenceCount, RoomId, UserId,
    limits::ONLINE_MAX,
};

use super::{access, presence_sets::PresenceSets, topics, wire::frame};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    error::AppError,
};

/// How often counts of large rooms are told.
pub(super) const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Subscribed connections by room and user.
pub struct Presence {
    rooms: DashMap<RoomId, HashMap<UserId, u32>>,
    /// Large rooms whose count changed since it was told; of a server that is alone.
    changed: DashSet<RoomId>,
    /// Of a fleet.
    sets: Option<PresenceSets>,
}

/// A connection that is about to subscribe; dropped without having done so, it isn't there.
pub struct Entering<'a> {
    app: &'a App,
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
            let presence = &self.app.presence;
            let count = presence.here(self.room);
            presence.changed_here(self.app, self.room, self.user, true, count);
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.subscribed {
            self.app.presence.leave(self.app, self.room, self.user);
        }
    }
}

impl Presence {
    /// Presence of a server that is alone, or of one of a fleet.
    pub fn new(sets: Option<PresenceSets>) -> Self {
        Self {
            rooms: DashMap::new(),
            changed: DashSet::new(),
            sets,
        }
    }

    /// A connection of `user` is about to subscribe to `room`. Counted before it does, so that a subscription that
    /// ends at once finds something to take back.
    pub fn enter<'a>(&self, app: &'a App, room: &'a RoomId, user: &'a UserId) -> Entering<'a> {
        let mut users = self.rooms.entry(room.clone()).or_default();
        let connections = users.entry(user.clone()).or_default();
        *connections += 1;
        Entering {
            is_first: *connections == 1,
            app,
            room,
            user,
            subscribed: false,
        }
    }

    /// A subscription of `user` to `room` ended.
    pub fn leave(&self, app: &App, room: &RoomId, user: &UserId) {
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
        self.changed_here(app, room, user, false, count);
    }

    /// A room is no more.
    pub fn forget(&self, room: &RoomId) {
        self.rooms.remove(room);
        self.changed.remove(room);
        if let Some(sets) = &self.sets {
            sets.forget(room);
        }
    }

    /// Users online in `room`, as far as this instance knows.
    pub fn count(&self, room: &RoomId) -> usize {
        match &self.sets {
            None => self.here(room),
            Some(sets) => sets.told(room).max(self.here(room)),
        }
    }

    /// Users online in `room` by connections of this instance.
    fn here(&self, room: &RoomId) -> usize {
        self.rooms.get(room).map_or(0, |users| users.len())
    }

    /// Whether `user` is, by a connection of this instance.
    pub(super) fn is_here(&self, room: &RoomId, user: &UserId) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|users| users.contains_key(user))
    }

    /// The users subscribed to each room by connections of this instance.
    pub fn subscribed(&self) -> Vec<(RoomId, Vec<UserId>)> {
        self.rooms
            .iter()
            .map(|room| (room.key().clone(), room.value().keys().cloned().collect()))
            .collect()
    }

    /// The rooms that users are subscribed to by connections of this instance.
    pub(super) fn rooms_here(&self) -> Vec<RoomId> {
        self.rooms.iter().map(|room| room.key().clone()).collect()
    }

    /// The users of one room.
    pub(super) fn users_here(&self, room: &RoomId) -> Vec<UserId> {
        self.rooms
            .get(room)
            .map_or_else(Vec::new, |users| users.keys().cloned().collect())
    }

    /// Another instance says that who is online in `room` changed.
    pub fn changed_elsewhere(&self, room: &RoomId) {
        if let Some(sets) = &self.sets
            && self.here(room) > 0
        {
            sets.look_at(room);
        }
    }

    /// Who is online may have changed in any room.
    pub fn doubt_all(&self) {
        if let Some(sets) = &self.sets {
            for room in &self.rooms {
                sets.look_at(room.key());
            }
        }
    }

    /// Redis has lost what this instance said, or never had it.
    pub fn say_again(&self) {
        if let Some(sets) = &self.sets {
            sets.say_again();
        }
    }

    fn changed_here(&self, app: &App, room: &RoomId, user: &UserId, online: bool, count: usize) {
        if let Some(sets) = &self.sets {
            sets.note(room, user, count == 0);
        } else if app.blocked_rooms.has(room) {
            // Neither of the two hears of the other.
        } else if count > ONLINE_MAX {
            self.changed.insert(room.clone());
        } else {
            tell(app, room, user, online);
        }
    }

    /// On a server that is alone: tells a room that all its users are online, or none.
    pub(super) fn tell_all(&self, app: &App, room: &RoomId, online: bool) {
        for user in self.users_here(room) {
            tell(app, room, &user, online);
        }
    }

    /// Tells what has to be told from time to time, for ever.
    pub async fn run(&self, app: &SharedApp) {
        match &self.sets {
            None => self.tell_counts(app).await,
            Some(sets) => sets.run(app).await,
        }
    }

    async fn tell_counts(&self, app: &App) {
        let mut ticks = tokio::time::interval(COUNT_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let changed: Vec<RoomId> = self.changed.iter().map(|room| room.clone()).collect();
            for room in changed {
                self.changed.remove(&room);
                tell_count(app, &room, self.here(&room) as u64);
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Tells the subscribers here of one user.
pub(super) fn tell(app: &App, room: &RoomId, user: &UserId, online: bool) {
    let changed = PresenceChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        online,
    };
    if let Some(frame) = frame(&changed) {
        app.hub.publish(&topics::room(room), &frame.volatile());
    }
}

/// Tells the subscribers here how many are online.
pub(super) fn tell_count(app: &App, room: &RoomId, count: u64) {
    let counted = PresenceCount {
        room_id: room.clone(),
        count,
    };
    if let Some(frame) = frame(&counted) {
        app.hub.publish(&topics::room(room), &frame.volatile());
    }
}

/// `presence:get`: for members only. Where a block stands between the two of a direct room, the other isn't online.
///
/// # Errors
/// As [`access::member`]; `unavailable` while the instances can't tell each other.
pub async fn get(
    app: &App,
    actor: &Actor,
    request: GetPresence,
) -> Result<PresenceAnswer, AppError> {
    let room = &request.room_id;
    access::member(app, actor, room).await?;
    let mut answer = online(app, room).await?;
    if app.blocked_rooms.contains(&app.store, room).await? {
        answer.online.retain(|user| *user == actor.user_id);
        answer.count = answer.online.len() as u64;
    }
    Ok(answer)
}

async fn online(app: &App, room: &RoomId) -> Result<PresenceAnswer, AppError> {
    let presence = &app.presence;
    if let Some(sets) = &presence.sets {
        return sets.online(app, room).await;
    }
    let Some(users) = presence.rooms.get(room) else {
        return Ok(PresenceAnswer {
            count: 0,
            online: Vec::new(),
        });
    };
    Ok(PresenceAnswer {
        count: users.len() as u64,
        online: users.keys().take(ONLINE_MAX).cloned().collect(),
    })
}
