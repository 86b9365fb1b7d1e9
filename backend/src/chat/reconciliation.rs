//! Comparison of subscriptions with memberships. Whoever is no longer a member is unsubscribed, even if the message that
//! should have said so was lost: from time to time, and at once when messages may have been lost.
//!
//! What must stay true: a subscription ends only on a definite answer of the store, and what couldn't be read is asked for
//! again. The store is asked in batches and at a bounded rate, by a task that nothing else waits for.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::{RoomId, UserId};
use storage::{MessageStore, StoreError};
use tokio::{sync::Notify, time::sleep};

use super::{presence::LocalUsers, subscriptions::Subscriptions};

/// Between the end of a comparison and the next one.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// How much is compared at a time.
#[derive(Clone, Copy)]
struct Pace {
    /// Pairs of a room and a user in one query.
    pairs: usize,
    /// Rooms in one query.
    rooms: usize,
    /// After each query.
    pause: Duration,
}

/// Of a regular comparison: a query is a millisecond of the store's work, so that on a single core messages hardly wait for
/// it.
const REGULAR: Pace = Pace {
    pairs: 250,
    rooms: 64,
    pause: Duration::from_millis(125),
};

/// After messages may have been lost: larger queries, since a slow store answers only so many of them in a second.
const URGENT: Pace = Pace {
    pairs: 1_000,
    rooms: 250,
    pause: Duration::from_millis(100),
};

/// The pause after the store couldn't be read.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Compares subscriptions with memberships.
pub struct Reconciliation {
    store: MessageStore,
    local_users: Arc<LocalUsers>,
    subscriptions: Arc<Subscriptions>,
    stale: Notify,
    compared: AtomicU64,
    removed: AtomicU64,
    unanswered: AtomicU64,
}

/// Counters of a [`Reconciliation`], from the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct ReconciliationStats {
    /// Pairs of a room and a user that were compared.
    pub compared: u64,
    /// Of these, users who were no longer members.
    pub removed: u64,
    /// Batches that the store couldn't answer, and that were asked for again.
    pub unanswered: u64,
}

/// Users of rooms, as many as a [`Pace`] allows.
#[derive(Default)]
struct Batch {
    rooms: Vec<(RoomId, Vec<UserId>)>,
    pairs: usize,
}

impl Batch {
    fn fits(&self, users: usize, pace: Pace) -> bool {
        self.rooms.len() < pace.rooms && self.pairs + users <= pace.pairs
    }

    fn add(&mut self, room: RoomId, users: Vec<UserId>) {
        self.pairs += users.len();
        self.rooms.push((room, users));
    }
}

impl Reconciliation {
    /// A comparison of the subscriptions of `local_users`.
    pub fn new(
        store: MessageStore,
        local_users: Arc<LocalUsers>,
        subscriptions: Arc<Subscriptions>,
    ) -> Self {
        Self {
            store,
            local_users,
            subscriptions,
            stale: Notify::new(),
            compared: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        }
    }

    /// Messages that end subscriptions may have been lost: all subscriptions are compared soon.
    pub fn mark_stale(&self) {
        self.stale.notify_one();
    }

    /// Counters.
    pub fn stats(&self) -> ReconciliationStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReconciliationStats {
            compared: read(&self.compared),
            removed: read(&self.removed),
            unanswered: read(&self.unanswered),
        }
    }

    /// Compares, for ever.
    pub async fn run(&self) {
        let regularly = async || {
            sleep(COMPARE_EVERY).await;
            self.compare(REGULAR).await;
        };
        loop {
            // What was compared before a loss says nothing about it: the comparison starts again.
            tokio::select! {
                () = self.stale.notified() => self.compare(URGENT).await,
                () = regularly() => {}
            }
        }
    }

    /// Compares all subscriptions here, and returns when the store has answered for each.
    async fn compare(&self, pace: Pace) {
        let mut rooms: VecDeque<RoomId> = self.local_users.rooms().into();
        while !rooms.is_empty() {
            let mut batch = Batch::default();
            while let Some(room) = rooms.pop_front() {
                // Read right before the query: a later subscriber may be a member only since then.
                let users = self.local_users.of_room(&room);
                if batch.fits(users.len(), pace) {
                    batch.add(room, users);
                } else if batch.rooms.is_empty() {
                    self.compare_large(room, users, &mut rooms, pace).await;
                    break;
                } else {
                    rooms.push_front(room);
                    break;
                }
            }
            if !batch.rooms.is_empty() && !self.check(&batch).await {
                rooms.extend(batch.rooms.into_iter().map(|(room, _)| room));
                sleep(RETRY_PAUSE).await;
            }
            sleep(pace.pause).await;
        }
    }

    /// Compares a room with more users than a batch holds.
    async fn compare_large(
        &self,
        room: RoomId,
        users: Vec<UserId>,
        unanswered: &mut VecDeque<RoomId>,
        pace: Pace,
    ) {
        for part in users.chunks(pace.pairs) {
            let mut batch = Batch::default();
            batch.add(room.clone(), part.to_vec());
            if !self.check(&batch).await {
                unanswered.push_back(room);
                sleep(RETRY_PAUSE).await;
                return;
            }
            sleep(pace.pause).await;
        }
    }

    /// Ends the subscriptions of users who aren't members. False if the store couldn't answer.
    async fn check(&self, batch: &Batch) -> bool {
        let members = match self.store.members_in_rooms(&batch.rooms).await {
            Ok(members) => members,
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::debug!(%error, "members couldn't be read; trying again");
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            Err(error) => {
                // Asking again at once won't help; the next comparison asks anyway.
                tracing::error!(%error, "members couldn't be read");
                return true;
            }
        };
        let pairs = batch.pairs as u64;
        self.compared.fetch_add(pairs, Ordering::Relaxed);
        for ((room, users), members) in batch.rooms.iter().zip(members) {
            for user in users.iter().filter(|user| !members.contains(*user)) {
                self.remove(room, user);
            }
        }
        true
    }

    fn remove(&self, room: &RoomId, user: &UserId) {
        if !self.subscriptions.contains(room, user) {
            // The user has left meanwhile.
            return;
        }
        tracing::info!(%room, %user, "a subscriber is no longer a member; the message was lost");
        self.removed.fetch_add(1, Ordering::Relaxed);
        self.store.forget_member(room, user);
        self.subscriptions.end(room, user);
    }
}
