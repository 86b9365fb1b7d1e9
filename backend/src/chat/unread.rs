//! `room:unread`: members who are connected but not subscribed to a room are notified of new events, at a bounded rate.
//! Losing one loses nothing: counts are read from the store, and `GET me/rooms` has them too.
//!
//! The instance that wrote the event goes through the room's members; the instances that they are connected to read the
//! counts of unread messages, and send them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use gateway::Socket;
use parking_lot::Mutex;
use protocol::{RoomId, RoomUnread, UserId};
use storage::MessageStore;
use tokio::time::Instant;

use super::{instance_messages::UnreadMessage, news::News};
use crate::{delivery::user_sockets::UserSockets, fleet::bus::Bus, topics, wire::frame};

/// The least time between two notices of one room.
const NOTIFY_EVERY: Duration = Duration::from_secs(1);

/// Members read at a time; a room waits a second more for each page.
const PAGE: u32 = 1_000;

/// Members of all rooms for whom an instance sends messages to others in a second: each is a command for Redis.
const MEMBERS_PER_SECOND: u32 = 5_000;

/// Users whom this instance has yet to notify; beyond that the next event of the room notifies them.
const PENDING_USERS: usize = 100_000;

/// Notices of unread messages.
pub struct UnreadNotices {
    store: MessageStore,
    bus: Arc<Bus>,
    user_sockets: Arc<UserSockets>,
    news: Arc<News>,
    /// Rooms that this instance wrote to.
    rooms: DashMap<RoomId, Activity>,
    /// Users connected here whom to notify.
    users: Mutex<PendingUsers>,
}

#[derive(Default)]
struct PendingUsers {
    rooms: HashMap<RoomId, (u64, HashSet<UserId>)>,
    count: usize,
}

struct Activity {
    head_seq: u64,
    /// True if members weren't notified of the last event.
    due: bool,
    not_before: Instant,
}

impl UnreadNotices {
    /// No notices.
    pub fn new(
        store: MessageStore,
        bus: Arc<Bus>,
        user_sockets: Arc<UserSockets>,
        news: Arc<News>,
    ) -> Self {
        Self {
            store,
            bus,
            user_sockets,
            news,
            rooms: DashMap::new(),
            users: Mutex::default(),
        }
    }

    /// This instance wrote an event to a room.
    pub fn record_event(&self, room: &RoomId, head_seq: u64) {
        // Most rooms are in the map already, and need no new key.
        if let Some(mut activity) = self.rooms.get_mut(room) {
            activity.head_seq = activity.head_seq.max(head_seq);
            activity.due = true;
            return;
        }
        self.rooms.entry(room.clone()).or_insert_with(|| Activity {
            head_seq,
            due: true,
            not_before: Instant::now(),
        });
    }

    /// A member who may be connected here has unread messages in a room.
    pub fn add(&self, room: &RoomId, user: &UserId, head_seq: u64) {
        let mut users = self.users.lock();
        if users.count >= PENDING_USERS {
            return;
        }
        let (head, waiting) = users.rooms.entry(room.clone()).or_default();
        *head = head_seq.max(*head);
        if waiting.insert(user.clone()) {
            users.count += 1;
        }
    }

    /// Notifies, for ever.
    pub async fn run(&self) {
        tokio::join!(self.find_members(), self.notify_users());
    }

    async fn find_members(&self) {
        let mut ticks = tokio::time::interval(NOTIFY_EVERY / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.rooms
                .retain(|_, activity| activity.due || activity.not_before > now);
            let due: Vec<(RoomId, u64)> = self
                .rooms
                .iter_mut()
                .filter(|activity| activity.due && activity.not_before <= now)
                .map(|mut activity| {
                    activity.due = false;
                    activity.not_before = now + NOTIFY_EVERY;
                    (activity.key().clone(), activity.head_seq)
                })
                .collect();
            if !self.bus.has_peers() {
                self.news.written(&due);
            }
            for (room, head_seq) in due {
                let pages = self.find_members_of(&room, head_seq).await;
                if let Some(mut activity) = self.rooms.get_mut(&room) {
                    activity.not_before += NOTIFY_EVERY * pages;
                }
            }
        }
    }

    /// Goes through the members of one room; returns the number of full pages.
    async fn find_members_of(&self, room: &RoomId, head_seq: u64) -> u32 {
        let mut after: Option<UserId> = None;
        let mut pages = 0;
        loop {
            // Logged by the store; the next event of the room tries again.
            let Ok(page) = self.store.member_ids(room, after.as_ref(), PAGE).await else {
                return pages;
            };
            let members = page.items.len() as u32;
            for user in &page.items {
                if self.user_sockets.has_user(user) {
                    self.add(room, user, head_seq);
                }
                let message = UnreadMessage {
                    room: room.clone(),
                    head_seq,
                };
                self.bus.send(&topics::user(user), &message);
            }
            if self.bus.has_peers() {
                tokio::time::sleep(Duration::from_secs(1) * members / MEMBERS_PER_SECOND).await;
            }
            if !page.has_more {
                return pages;
            }
            pages += 1;
            after = page.items.last().cloned();
        }
    }

    async fn notify_users(&self) {
        let mut ticks = tokio::time::interval(NOTIFY_EVERY / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let rooms = std::mem::take(&mut *self.users.lock()).rooms;
            for (room, (head_seq, users)) in rooms {
                self.notify_users_of(room, head_seq, users).await;
            }
        }
    }

    /// Notifies those of `users` who have a connection here that isn't subscribed to the room.
    async fn notify_users_of(&self, room_id: RoomId, head_seq: u64, users: HashSet<UserId>) {
        let topic = topics::room(&room_id);
        let elsewhere: HashMap<UserId, Vec<Socket>> = users
            .into_iter()
            .filter_map(|user| {
                let mut sockets = self.user_sockets.of_user(&user);
                sockets.retain(|socket| !socket.is_subscribed(&topic));
                (!sockets.is_empty()).then_some((user, sockets))
            })
            .collect();
        if elsewhere.is_empty() {
            return;
        }
        let users: Vec<UserId> = elsewhere.keys().cloned().collect();
        // Logged by the store; the next event of the room tries again.
        let Ok(counts) = self.store.unread_for(&room_id, &users).await else {
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
                // Those that have subscribed meanwhile know better.
                for socket in sockets
                    .iter()
                    .filter(|socket| !socket.is_subscribed(&topic))
                {
                    socket.send(&frame);
                }
            }
        }
    }
}
