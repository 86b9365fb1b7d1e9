//! The rooms of one partition: who came and went in them, and which of them are to be looked at.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};
use tokio::{sync::Notify, time::Instant};

/// Rooms looked at, or written, in one pipeline.
const BATCH: usize = 256;

/// What is to be done for the rooms of one partition.
#[derive(Default)]
pub(super) struct Partition {
    changes: Mutex<Changes>,
    /// There are some to be written.
    noted: Notify,
    /// Some were written.
    written: Notify,
    /// Rooms to look at, and not before when.
    due: Mutex<HashMap<RoomId, Instant>>,
    looked: Notify,
}

/// Who came and went, and isn't known to be written.
#[derive(Default)]
struct Changes {
    unwritten: HashMap<RoomId, HashSet<UserId>>,
    /// Rooms of which some are on their way.
    writing: HashSet<RoomId>,
}

impl Partition {
    /// `user` came to `room` here or left it.
    pub(super) fn note(&self, room: &RoomId, user: &UserId) {
        {
            let unwritten = &mut self.changes.lock().unwritten;
            match unwritten.get_mut(room) {
                Some(users) => drop(users.insert(user.clone())),
                None => drop(unwritten.insert(room.clone(), HashSet::from([user.clone()]))),
            }
        }
        self.noted.notify_one();
    }

    /// These have to be written, perhaps once more.
    pub(super) fn put_back(&self, room: RoomId, users: impl IntoIterator<Item = UserId>) {
        let mut changes = self.changes.lock();
        changes.unwritten.entry(room).or_default().extend(users);
        drop(changes);
        self.noted.notify_one();
    }

    /// Waits until there is something to be written.
    pub(super) async fn take_unwritten(&self) -> Vec<(RoomId, HashSet<UserId>)> {
        loop {
            {
                let mut changes = self.changes.lock();
                let Changes { unwritten, writing } = &mut *changes;
                writing.extend(unwritten.keys().take(BATCH).cloned());
                if !writing.is_empty() {
                    let rooms = writing.iter();
                    return rooms
                        .filter_map(|room| unwritten.remove_entry(room))
                        .collect();
                }
            }
            self.noted.notified().await;
        }
    }

    /// What was taken was written, or has to be once more.
    pub(super) fn written(&self, batch: Vec<(RoomId, HashSet<UserId>)>, taken: bool) {
        if !taken {
            for (room, users) in batch {
                self.put_back(room, users);
            }
        }
        self.changes.lock().writing.clear();
        self.written.notify_waiters();
    }

    /// Waits until what came and went in `room` before this is written, no longer than `patience`.
    pub(super) async fn settle(&self, room: &RoomId, patience: Duration) {
        let settled = async {
            loop {
                let written = self.written.notified();
                {
                    let changes = self.changes.lock();
                    if !changes.unwritten.contains_key(room) && !changes.writing.contains(room) {
                        return;
                    }
                }
                written.await;
            }
        };
        drop(tokio::time::timeout(patience, settled).await);
    }

    /// Has a look at the room, not before a time unless it is to be looked at anyway.
    pub(super) fn look_at(&self, room: &RoomId, not_before: Instant) {
        self.due.lock().entry(room.clone()).or_insert(not_before);
        self.looked.notify_one();
    }

    /// The room needn't be looked at.
    pub(super) fn forget(&self, room: &RoomId) {
        self.due.lock().remove(room);
    }

    /// Waits until there are rooms to be looked at.
    pub(super) async fn take_due(&self) -> Vec<RoomId> {
        loop {
            let looked = self.looked.notified();
            let now = Instant::now();
            let mut rooms = Vec::new();
            let next = {
                let mut due = self.due.lock();
                due.retain(|room, not_before| {
                    let keep = *not_before > now || rooms.len() >= BATCH;
                    if !keep {
                        rooms.push(room.clone());
                    }
                    keep
                });
                due.values().min().copied()
            };
            if !rooms.is_empty() {
                return rooms;
            }
            match next {
                Some(next) => drop(tokio::time::timeout_at(next, looked).await),
                None => looked.await,
            }
        }
    }
}
