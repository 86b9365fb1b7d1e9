//! `room:unread`: members who are connected but not subscribed to a room learn that there is news, at a bounded rate.
//! Nothing is lost with it: counts are read from the store, and `GET me/rooms` has them too.
//!
//! The instance that wrote the event goes through the room's members; the instances that they are connected to count
//! what is unread for those, and tell them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use dashmap::DashMap;
use gateway::Socket;
use parking_lot::Mutex;
use protocol::{RoomId, RoomUnread, UserId};
use tokio::time::Instant;

use super::{topics, wire::frame};
use crate::{
    app::{App, SharedApp},
    bus::Message,
};

/// The least time between two notices of one room.
const EVERY: Duration = Duration::from_secs(1);

/// Members gone through at a time; a room waits a second more for each.
const PAGE: u32 = 1_000;

/// Members of all rooms that an instance tells others of in a second: each costs Redis a message.
const MEMBERS_PER_SECOND: u32 = 5_000;

/// Users whom this instance has yet to tell; beyond that the next event of the room tells them.
const WAITING_USERS: usize = 100_000;

/// Rooms with news, and when their members may be told.
#[derive(Default)]
pub struct UnreadNotices {
    /// Written here.
    rooms: DashMap<RoomId, News>,
    /// To be told here.
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    rooms: HashMap<RoomId, (u64, HashSet<UserId>)>,
    count: usize,
}

struct News {
    head_seq: u64,
    /// News that hasn't been told.
    due: bool,
    not_before: Instant,
}

impl UnreadNotices {
    /// A room has a new event, which was written here.
    pub fn news(&self, room: &RoomId, head_seq: u64) {
        // Most events are of rooms that are in the map already: no new key for those.
        if let Some(mut news) = self.rooms.get_mut(room) {
            news.head_seq = news.head_seq.max(head_seq);
            news.due = true;
            return;
        }
        self.rooms.entry(room.clone()).or_insert_with(|| News {
            head_seq,
            due: true,
            not_before: Instant::now(),
        });
    }

    /// A member who may be connected here has something to read in a room.
    pub fn note(&self, room: &RoomId, user: &UserId, head_seq: u64) {
        let mut users = self.users.lock();
        if users.count >= WAITING_USERS {
            return;
        }
        let (head, waiting) = users.rooms.entry(room.clone()).or_default();
        *head = head_seq.max(*head);
        if waiting.insert(user.clone()) {
            users.count += 1;
        }
    }

    /// Tells what is due, for ever.
    pub async fn run(&self, app: &SharedApp) {
        tokio::join!(self.spread(app), self.tell(app));
    }

    async fn spread(&self, app: &App) {
        let mut ticks = tokio::time::interval(EVERY / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.rooms
                .retain(|_, news| news.due || news.not_before > now);
            let due: Vec<(RoomId, u64)> = self
                .rooms
                .iter_mut()
                .filter(|news| news.due && news.not_before <= now)
                .map(|mut news| {
                    news.due = false;
                    news.not_before = now + EVERY;
                    (news.key().clone(), news.head_seq)
                })
                .collect();
            for (room, head_seq) in due {
                let pages = self.spread_room(app, &room, head_seq).await;
                if let Some(mut news) = self.rooms.get_mut(&room) {
                    news.not_before += EVERY * pages;
                }
            }
        }
    }

    /// Goes through the members of one room; returns how many full pages of them there were.
    async fn spread_room(&self, app: &App, room: &RoomId, head_seq: u64) -> u32 {
        let mut after: Option<UserId> = None;
        let mut pages = 0;
        loop {
            // A failed read is logged where it failed; the next event of the room tries again.
            let Ok(page) = app.store.member_ids(room, after.as_ref(), PAGE).await else {
                return pages;
            };
            let members = page.items.len() as u32;
            for user in &page.items {
                if app.user_sockets.has_user(user) {
                    self.note(room, user, head_seq);
                }
                app.bus.send(
                    &topics::user(user),
                    &Message::Unread {
                        room: room.clone(),
                        head_seq,
                    },
                );
            }
            if app.bus.link().is_some() {
                tokio::time::sleep(Duration::from_secs(1) * members / MEMBERS_PER_SECOND).await;
            }
            if !page.has_more {
                return pages;
            }
            pages += 1;
            after = page.items.last().cloned();
        }
    }

    async fn tell(&self, app: &App) {
        let mut ticks = tokio::time::interval(EVERY / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let rooms = std::mem::take(&mut *self.users.lock()).rooms;
            for (room, (head_seq, users)) in rooms {
                tell_room(app, room, head_seq, users).await;
            }
        }
    }
}

/// Tells those of `users` whose connections here aren't all subscribed to the room.
async fn tell_room(app: &App, room_id: RoomId, head_seq: u64, users: HashSet<UserId>) {
    let topic = topics::room(&room_id);
    let elsewhere: HashMap<UserId, Vec<Socket>> = users
        .into_iter()
        .filter_map(|user| {
            let mut sockets = app.user_sockets.of_user(&user);
            sockets.retain(|socket| !socket.is_subscribed(&topic));
            (!sockets.is_empty()).then_some((user, sockets))
        })
        .collect();
    if elsewhere.is_empty() {
        return;
    }
    let users: Vec<UserId> = elsewhere.keys().cloned().collect();
    // A failed read is logged where it failed; the next event of the room tries again.
    let Ok(counts) = app.store.unread_for(&room_id, &users).await else {
        return;
    };
    for (user, unread) in counts {
        let notice = RoomUnread {
            room_id: room_id.clone(),
            head_seq,
            unread,
        };
        if let (Some(frame), Some(sockets)) = (frame(&notice), elsewhere.get(&user)) {
            let frame = frame.volatile();
            for socket in sockets {
                socket.send(&frame);
            }
        }
    }
}
