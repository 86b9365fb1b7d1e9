//! `room:unread`: members who are connected but not subscribed to a room learn that there is news, at a bounded rate.
//! Nothing is lost with it: counts are read from the store, and `GET me/rooms` has them too.

use std::time::Duration;

use dashmap::DashMap;
use gateway::Socket;
use protocol::{RoomId, RoomUnread, UserId};
use tokio::time::Instant;

use super::{topics, wire::frame};
use crate::app::App;

/// The least time between two notices of one room.
const EVERY: Duration = Duration::from_secs(1);

/// Members looked at in one query; a room waits a second more for each.
const PAGE: u32 = 1_000;

/// Rooms with news, and when their members may be told.
#[derive(Default)]
pub struct UnreadNotices {
    rooms: DashMap<RoomId, Notice>,
}

struct Notice {
    head_seq: u64,
    /// News that hasn't been told.
    due: bool,
    not_before: Instant,
}

impl UnreadNotices {
    /// A room has a new event.
    pub fn note(&self, room: &RoomId, head_seq: u64) {
        // Most events are of rooms that are in the map already: no new key for those.
        if let Some(mut notice) = self.rooms.get_mut(room) {
            notice.head_seq = notice.head_seq.max(head_seq);
            notice.due = true;
            return;
        }
        self.rooms.entry(room.clone()).or_insert_with(|| Notice {
            head_seq,
            due: true,
            not_before: Instant::now(),
        });
    }

    /// Tells what is due, for ever.
    pub async fn run(&self, app: &App) {
        let mut ticks = tokio::time::interval(EVERY / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.rooms
                .retain(|_, notice| notice.due || notice.not_before > now);
            let due: Vec<(RoomId, u64)> = self
                .rooms
                .iter_mut()
                .filter(|notice| notice.due && notice.not_before <= now)
                .map(|mut notice| {
                    notice.due = false;
                    notice.not_before = now + EVERY;
                    (notice.key().clone(), notice.head_seq)
                })
                .collect();
            for (room, head_seq) in due {
                let pages = tell(app, &room, head_seq).await;
                if let Some(mut notice) = self.rooms.get_mut(&room) {
                    notice.not_before += EVERY * pages;
                }
            }
        }
    }
}

/// Tells the members of one room; returns how many full pages of them there were.
async fn tell(app: &App, room: &RoomId, head_seq: u64) -> u32 {
    let topic = topics::room(room);
    let mut after: Option<UserId> = None;
    let mut pages = 0;
    loop {
        // A failed read is logged where it failed; the next event of the room tries again.
        let Ok(page) = app.store.member_ids(room, after.as_ref(), PAGE).await else {
            return pages;
        };
        let elsewhere: Vec<(UserId, Vec<Socket>)> = page
            .items
            .iter()
            .filter_map(|user| {
                let mut sockets = app.hub.sockets(&topics::user(user));
                sockets.retain(|socket| !socket.is_subscribed(&topic));
                (!sockets.is_empty()).then(|| (user.clone(), sockets))
            })
            .collect();
        if !elsewhere.is_empty() {
            let users: Vec<UserId> = elsewhere.iter().map(|(user, _)| user.clone()).collect();
            let Ok(counts) = app.store.unread_for(room, &users).await else {
                return pages;
            };
            for (user, unread) in counts {
                let notice = RoomUnread {
                    room_id: room.clone(),
                    head_seq,
                    unread,
                };
                let sockets = elsewhere.iter().find(|(of, _)| *of == user);
                if let (Some(frame), Some((_, sockets))) = (frame(&notice), sockets) {
                    let frame = frame.volatile();
                    for socket in sockets {
                        socket.send(&frame);
                    }
                }
            }
        }
        if !page.has_more {
            return pages;
        }
        pages += 1;
        after = page.items.last().cloned();
    }
}
