//! Rooms of which events may have been lost between instances, until they are compared with their logs. An interruption
//! may concern every room here: they are worked through a few at a time, apart from what delivers.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use protocol::RoomId;
use tokio::sync::Notify;

use super::room_repair;
use crate::app::SharedApp;

/// Rooms brought up to date at a time: the store has others to serve.
const AT_ONCE: usize = 32;

/// The rooms.
#[derive(Default)]
pub struct RoomDoubts {
    doubted: Mutex<Doubted>,
    noted: Notify,
}

#[derive(Default)]
struct Doubted {
    all: bool,
    rooms: HashSet<RoomId>,
}

impl RoomDoubts {
    /// Events of these rooms may have been lost, and who is online in them may have changed.
    pub fn add(&self, rooms: impl IntoIterator<Item = RoomId>) {
        self.doubted.lock().rooms.extend(rooms);
        self.noted.notify_one();
    }

    /// Events of any room may have been.
    pub fn add_all(&self) {
        self.doubted.lock().all = true;
        self.noted.notify_one();
    }

    /// Compares them, for ever.
    pub async fn run(&self, app: &SharedApp) {
        loop {
            self.noted.notified().await;
            let Doubted { all, rooms } = std::mem::take(&mut *self.doubted.lock());
            let feeds = if all {
                app.presence.doubt_all();
                app.feeds.all()
            } else {
                for room in &rooms {
                    app.presence.changed_elsewhere(room);
                }
                let found = rooms.iter().filter_map(|room| app.feeds.find(room));
                found.collect()
            };
            stream::iter(feeds)
                .for_each_concurrent(AT_ONCE, |feed| async move {
                    feed.doubt();
                    room_repair::finish(app, &feed).await;
                })
                .await;
        }
    }
}
