//! Connections that were opened with tokens of another application, so that none outlives its token or a right of its user.
//!
//! What must stay true: an unknown answer ends nothing. A token that has expired closes the transport, so that the client
//! comes back with a new one; one that was revoked ends the connection for good.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use gateway::CloseReason;
use parking_lot::Mutex;
use protocol::{SessionId, Timestamp, UserId};
use rand::RngExt;
use storage::{MessageStore, StoreError, StoredUser};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::external_users::is_good;
use crate::{
    auth::{
        actor::{Actor, ExternalToken},
        revocations::Revocations,
    },
    delivery::user_sockets::UserSockets,
};

/// How often connections are looked for that have to be checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// A user is read again after this at the latest, and after half of it at the earliest.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Users read in one query.
const BATCH: usize = 500;

/// Users with connections here, and their tokens. Those whose connections have closed stay until they are checked.
pub(super) struct ExternalConnections {
    store: MessageStore,
    revocations: Arc<Revocations>,
    user_sockets: Arc<UserSockets>,
    users: DashMap<UserId, Connected>,
    /// Users to read now.
    changed: Mutex<HashSet<UserId>>,
    /// True if any user may have changed.
    all_changed: AtomicBool,
    wake: Notify,
}

struct Connected {
    tokens: Vec<Token>,
    check_at: Timestamp,
}

struct Token {
    id: SessionId,
    issued_at: Timestamp,
    ends_at: Timestamp,
}

impl ExternalConnections {
    /// None yet.
    pub fn new(
        store: MessageStore,
        revocations: Arc<Revocations>,
        user_sockets: Arc<UserSockets>,
    ) -> Self {
        Self {
            store,
            revocations,
            user_sockets,
            users: DashMap::new(),
            changed: Mutex::default(),
            all_changed: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// A client has connected.
    pub fn add(&self, actor: &Actor, token: &ExternalToken) {
        let new = || Connected {
            tokens: Vec::new(),
            check_at: next_check(),
        };
        let mut user = self.users.entry(actor.user_id.clone()).or_insert_with(new);
        if user.tokens.iter().all(|known| known.id != actor.session_id) {
            user.tokens.push(Token {
                id: actor.session_id.clone(),
                issued_at: token.issued_at,
                ends_at: actor.session_expires_at,
            });
        }
    }

    /// A user has changed, or something about their tokens.
    pub fn check_soon(&self, user: &UserId) {
        if self.users.contains_key(user) {
            self.changed.lock().insert(user.clone());
            self.wake.notify_one();
        }
    }

    /// Any user may have changed.
    pub fn check_all_soon(&self) {
        let now = Timestamp::now();
        for mut user in self.users.iter_mut() {
            user.check_at = now;
        }
        self.all_changed.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Checks connections when they are due, for ever.
    pub async fn run(&self) {
        let mut next = Instant::now() + CHECK_EVERY;
        loop {
            // Either is a reason to look: at those who have changed, or at all.
            let is_time = timeout_at(next, self.wake.notified()).await.is_err();
            if is_time {
                next = Instant::now() + CHECK_EVERY;
            }
            let all = self.all_changed.swap(false, Ordering::SeqCst) || is_time;
            if let Err(error) = self.check(all).await {
                tracing::warn!(%error, "the users of connections couldn't be read; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn check(&self, all: bool) -> Result<(), StoreError> {
        let due = if all {
            self.due()
        } else {
            std::mem::take(&mut *self.changed.lock())
                .into_iter()
                .collect()
        };
        for (at, batch) in due.chunks(BATCH).enumerate() {
            let users = match self.store.users(batch).await {
                Ok(users) => users,
                Err(error) => {
                    let rest = due[at * BATCH..].iter().cloned();
                    self.changed.lock().extend(rest);
                    return Err(error);
                }
            };
            for id in batch {
                self.end_revoked(id, users.iter().find(|user| user.id == *id));
            }
        }
        Ok(())
    }

    /// Closes what has expired, and says which users are to be read.
    fn due(&self) -> Vec<UserId> {
        let now = Timestamp::now();
        let changed = std::mem::take(&mut *self.changed.lock());
        let (mut due, mut expired) = (Vec::new(), Vec::new());
        self.users.retain(|id, user| {
            user.tokens.retain(|token| {
                if token.ends_at <= now {
                    expired.push(token.id.clone());
                }
                token.ends_at > now && self.user_sockets.has_session(&token.id)
            });
            if user.tokens.is_empty() {
                return false;
            }
            if user.check_at <= now || changed.contains(id) {
                due.push(id.clone());
            }
            true
        });
        for token in expired {
            for socket in self.user_sockets.of_session(&token) {
                socket.close(CloseReason::TryLater);
            }
        }
        due
    }

    /// Ends the connections whose tokens aren't good for the user, who may be deleted.
    fn end_revoked(&self, id: &UserId, user: Option<&StoredUser>) {
        let Some(mut connected) = self.users.get_mut(id) else {
            return;
        };
        connected.check_at = next_check();
        let mut revoked = Vec::new();
        connected.tokens.retain(|token| {
            let good = user.is_some_and(|user| is_good(user, token.issued_at));
            if !good {
                revoked.push(token.id.clone());
            }
            good
        });
        drop(connected);
        for token in revoked {
            self.revocations.apply(&token);
        }
    }
}

/// With jitter, for users who connected together.
fn next_check() -> Timestamp {
    let age = MAX_AGE.mul_f64(rand::rng().random_range(0.5..1.0));
    Timestamp::now().plus(age)
}
