//! Rooms that have to be compared with their logs, because events may have been lost between instances. An interruption may
//! concern every room here: they are only marked on the task that delivers, and compared by another one.

use std::collections::HashSet;

use parking_lot::Mutex;
use protocol::RoomId;
use tokio::sync::Notify;

/// The marked rooms.
#[derive(Default)]
pub struct StaleRooms {
    marked: Mutex<Marked>,
    notify: Notify,
}

#[derive(Default)]
struct Marked {
    all: bool,
    rooms: HashSet<RoomId>,
}

/// The rooms to compare.
pub enum Stale {
    /// All that have subscribers here.
    All,
    /// These.
    Rooms(HashSet<RoomId>),
}

impl StaleRooms {
    /// Events of these rooms may have been lost.
    pub fn mark(&self, rooms: impl IntoIterator<Item = RoomId>) {
        self.marked.lock().rooms.extend(rooms);
        self.notify.notify_one();
    }

    /// Events of any room may have been lost.
    pub fn mark_all(&self) {
        self.marked.lock().all = true;
        self.notify.notify_one();
    }

    /// Waits until some are marked, and takes them.
    pub async fn take(&self) -> Stale {
        self.notify.notified().await;
        let Marked { all, rooms } = std::mem::take(&mut *self.marked.lock());
        if all { Stale::All } else { Stale::Rooms(rooms) }
    }
}
