//! Who is subscribed to a room, compared with who is a member of it. Whoever isn't one any more is unsubscribed, whatever
//! became of the message that should have said so: from time to time, and at once when messages may have been lost.
//!
//! What must stay true: a subscription ends on a clear answer of the store only, and what couldn't be read is asked
//! again. The store is asked for many at a time and at a bounded rate, by a task that nothing else waits for.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use protocol::{RoomId, UserId};
use storage::StoreError;
use tokio::sync::Notify;

use super::{members, topics};
use crate::app::App;

/// Between the end of a comparison and the next one.
const EVERY: Duration = Duration::from_secs(10);

/// Pairs of a room and a user, and rooms, that the store is asked for at once: some milliseconds of its work.
const PAIRS: usize = 1_000;
const ROOMS: usize = 250;

/// The pause behind each batch: nothing is known to be wrong, or messages may have been lost.
const AT_LEISURE: Duration = Duration::from_millis(500);
const AT_ONCE: Duration = Duration::from_millis(100);

/// After the store couldn't be read.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Compares, and counts what it finds. Numbers only grow.
#[derive(Default)]
pub struct Reconciliation {
    doubted: Notify,
    /// Pairs of a room and a user that were compared.
    compared: AtomicU64,
    /// Of these, users who weren't members any more.
    removed: AtomicU64,
    /// Batches that the store couldn't answer, and that were asked again.
    unanswered: AtomicU64,
}

/// Users of rooms, at most [`PAIRS`].
#[derive(Default)]
struct Batch {
    rooms: Vec<(RoomId, Vec<UserId>)>,
    pairs: usize,
}

impl Batch {
    fn fits(&self, users: usize) -> bool {
        self.rooms.len() < ROOMS && self.pairs + users <= PAIRS
    }

    fn add(&mut self, room: RoomId, users: Vec<UserId>) {
        self.pairs += users.len();
        self.rooms.push((room, users));
    }
}

impl Reconciliation {
    /// Messages that end subscriptions may have been lost: everything is compared soon.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// How many pairs of a room and a user were compared, and how many users turned out not to be members any more.
    pub fn compared_and_removed(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.compared), count(&self.removed))
    }

    /// Compares, for ever.
    pub async fn run(&self, app: &App) {
        let regularly = async || {
            tokio::time::sleep(EVERY).await;
            self.compare(app, AT_LEISURE).await;
        };
        loop {
            // What was compared before a loss says nothing of it: then it begins anew.
            tokio::select! {
                () = self.doubted.notified() => self.compare(app, AT_ONCE).await,
                () = regularly() => {}
            }
        }
    }

    /// Compares all that are subscribed here, and ends when the store has answered for each.
    async fn compare(&self, app: &App, pause: Duration) {
        let mut rooms: VecDeque<RoomId> = app.presence.rooms_here().into();
        while !rooms.is_empty() {
            let mut batch = Batch::default();
            while let Some(room) = rooms.pop_front() {
                // As they are when they are asked for: who has come since may be a member only since.
                let users = app.presence.users_here(&room);
                if batch.fits(users.len()) {
                    batch.add(room, users);
                } else if batch.rooms.is_empty() {
                    self.compare_large(app, room, users, &mut rooms, pause)
                        .await;
                    break;
                } else {
                    rooms.push_front(room);
                    break;
                }
            }
            if !batch.rooms.is_empty() && !self.settle(app, &batch).await {
                rooms.extend(batch.rooms.into_iter().map(|(room, _)| room));
                tokio::time::sleep(TRY_AGAIN).await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Compares a room with more users than a batch holds.
    async fn compare_large(
        &self,
        app: &App,
        room: RoomId,
        users: Vec<UserId>,
        unanswered: &mut VecDeque<RoomId>,
        pause: Duration,
    ) {
        for part in users.chunks(PAIRS) {
            let mut batch = Batch::default();
            batch.add(room.clone(), part.to_vec());
            if !self.settle(app, &batch).await {
                unanswered.push_back(room);
                tokio::time::sleep(TRY_AGAIN).await;
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends the subscriptions of those who aren't members; says whether the store answered.
    async fn settle(&self, app: &App, batch: &Batch) -> bool {
        let members = match app.store.members_in_rooms(&batch.rooms).await {
            Ok(members) => members,
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::debug!(%error, "members can't be compared; it is tried again");
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            Err(error) => {
                // It won't pass by asking again at once; the next comparison asks anyway.
                tracing::error!(%error, "members can't be compared");
                return true;
            }
        };
        let pairs = batch.pairs as u64;
        self.compared.fetch_add(pairs, Ordering::Relaxed);
        for ((room, users), members) in batch.rooms.iter().zip(members) {
            for user in users.iter().filter(|user| !members.contains(*user)) {
                self.remove(app, room, user);
            }
        }
        true
    }

    fn remove(&self, app: &App, room: &RoomId, user: &UserId) {
        let topic = topics::room(room);
        let sockets = app.user_sockets.of_user(user);
        if !sockets.iter().any(|socket| socket.is_subscribed(&topic)) {
            // They have left meanwhile.
            return;
        }
        tracing::info!(%room, %user, "not a member any more, learned late");
        self.removed.fetch_add(1, Ordering::Relaxed);
        app.store.forget_member(room, user);
        members::removed_here(app, room, user);
    }
}
