//! The rooms of one partition: changes of presence that have to be written, and rooms whose presence has to be checked.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use protocol::{RoomId, UserId};
use tokio::{sync::Notify, time::Instant};

/// Rooms written, or checked, in one pipeline.
const BATCH: usize = 256;

/// What has to be done for the rooms of one partition.
#[derive(Default)]
pub(super) struct Partition {
    changes: Mutex<Changes>,
    /// Notified when there are changes to be written.
    recorded: Notify,
    /// Notified when changes were written.
    written: Notify,
    /// Rooms to check, and the earliest time for it.
    checks: Mutex<HashMap<RoomId, Instant>>,
    scheduled: Notify,
}

/// Users whose presence changed and isn't known to be written.
#[derive(Default)]
struct Changes {
    pending: HashMap<RoomId, HashSet<UserId>>,
    /// Rooms whose changes are being written.
    writing: HashSet<RoomId>,
}

impl Partition {
    /// The presence of `user` in `room` changed.
    pub(super) fn record(&self, room: &RoomId, user: &UserId) {
        {
            let pending = &mut self.changes.lock().pending;
            match pending.get_mut(room) {
                Some(users) => drop(users.insert(user.clone())),
                None => drop(pending.insert(room.clone(), HashSet::from([user.clone()]))),
            }
        }
        self.recorded.notify_one();
    }

    /// These have to be written again.
    pub(super) fn record_all(&self, room: RoomId, users: impl IntoIterator<Item = UserId>) {
        let mut changes = self.changes.lock();
        changes.pending.entry(room).or_default().extend(users);
        drop(changes);
        self.recorded.notify_one();
    }

    /// Waits until there are changes, and takes those of some rooms.
    pub(super) async fn take_pending(&self) -> Vec<(RoomId, HashSet<UserId>)> {
        loop {
            {
                let mut changes = self.changes.lock();
                let Changes { pending, writing } = &mut *changes;
                writing.extend(pending.keys().take(BATCH).cloned());
                if !writing.is_empty() {
                    let rooms = writing.iter();
                    return rooms
                        .filter_map(|room| pending.remove_entry(room))
                        .collect();
                }
            }
            self.recorded.notified().await;
        }
    }

    /// What was taken was written, or has to be written again.
    pub(super) fn finish(&self, batch: Vec<(RoomId, HashSet<UserId>)>, is_written: bool) {
        if !is_written {
            for (room, users) in batch {
                self.record_all(room, users);
            }
        }
        self.changes.lock().writing.clear();
        self.written.notify_waiters();
    }

    /// Waits until the changes of `room` so far are written, at most for `max`.
    pub(super) async fn flush(&self, room: &RoomId, max: Duration) {
        let flushed = async {
            loop {
                let written = self.written.notified();
                {
                    let changes = self.changes.lock();
                    if !changes.pending.contains_key(room) && !changes.writing.contains(room) {
                        return;
                    }
                }
                written.await;
            }
        };
        drop(tokio::time::timeout(max, flushed).await);
    }

    /// Schedules a check of the room, not before a time unless one is scheduled already.
    pub(super) fn schedule_check(&self, room: &RoomId, not_before: Instant) {
        self.checks.lock().entry(room.clone()).or_insert(not_before);
        self.scheduled.notify_one();
    }

    /// The room was deleted.
    pub(super) fn remove_room(&self, room: &RoomId) {
        self.checks.lock().remove(room);
    }

    /// Waits until checks are due, and takes them.
    pub(super) async fn take_due(&self) -> Vec<RoomId> {
        loop {
            let scheduled = self.scheduled.notified();
            let now = Instant::now();
            let mut rooms = Vec::new();
            let next = {
                let mut checks = self.checks.lock();
                checks.retain(|room, not_before| {
                    let keep = *not_before > now || rooms.len() >= BATCH;
                    if !keep {
                        rooms.push(room.clone());
                    }
                    keep
                });
                checks.values().min().copied()
            };
            if !rooms.is_empty() {
                return rooms;
            }
            match next {
                Some(next) => drop(tokio::time::timeout_at(next, scheduled).await),
                None => scheduled.await,
            }
        }
    }
}
