//! Sessions with connections here, so that no connection outlives its session: a session may end without a message, by
//! not being refreshed, with an account that is deleted, or when the message of its end was lost.
//!
//! What must stay true: an unknown answer ends nothing; nothing is read from the store when a client connects.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use protocol::{SessionId, Timestamp, UserId};
use rand::RngExt;
use storage::{MessageStore, SessionRef, Sessions, StoreError};

use crate::{
    auth::{actor::Actor, revocations::Revocations},
    delivery::user_sockets::UserSockets,
};

/// How often the sessions are looked for that have to be checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// A session is checked again after this at the latest, and after half of it at the earliest unless it expires before.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// Sessions checked in one query.
const BATCH: usize = 500;

/// Sessions with connections here, and when to check them. Those whose connections have closed stay until then.
pub struct ConnectedSessions {
    store: MessageStore,
    sessions: Sessions,
    revocations: Arc<Revocations>,
    user_sockets: Arc<UserSockets>,
    connected: DashMap<SessionId, Connected>,
}

struct Connected {
    user: UserId,
    check_at: Timestamp,
}

impl ConnectedSessions {
    /// None yet.
    pub fn new(
        store: MessageStore,
        sessions: Sessions,
        revocations: Arc<Revocations>,
        user_sockets: Arc<UserSockets>,
    ) -> Self {
        Self {
            store,
            sessions,
            revocations,
            user_sockets,
            connected: DashMap::new(),
        }
    }

    /// A client has connected.
    pub fn add(&self, actor: &Actor) {
        let new = || Connected {
            user: actor.user_id.clone(),
            check_at: next_check(actor.session_expires_at),
        };
        self.connected
            .entry(actor.session_id.clone())
            .or_insert_with(new);
    }

    /// Checks sessions when they are due, for ever.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            if let Err(error) = self.check().await {
                tracing::warn!(%error, "the sessions of connections couldn't be checked; trying again");
            }
        }
    }

    /// Ends the connections of those that have ended.
    async fn check(&self) -> Result<(), StoreError> {
        let due = self.due();
        for batch in due.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|(_, user)| user.clone()).collect();
            let users = self.store.users(&ids).await?;
            let refs = batch.iter().filter_map(|(session, user)| {
                let user = users.iter().find(|known| known.id == *user)?;
                Some(SessionRef {
                    id: session.clone(),
                    user_id: user.id.clone(),
                    sign_in_version: user.sign_in_version,
                })
            });
            let refs = refs.collect();
            let good = self.sessions.good_sessions(refs, Timestamp::now()).await?;
            for (session, _) in batch {
                match good.iter().find(|(good, _)| good == session) {
                    Some((_, expires_at)) => {
                        if let Some(mut connected) = self.connected.get_mut(session) {
                            connected.check_at = next_check(*expires_at);
                        }
                    }
                    None => {
                        self.connected.remove(session);
                        self.revocations.apply(session);
                    }
                }
            }
        }
        Ok(())
    }

    /// Those to check now. Those without a connection are removed.
    fn due(&self) -> Vec<(SessionId, UserId)> {
        let now = Timestamp::now();
        let mut due = Vec::new();
        self.connected.retain(|session, connected| {
            if connected.check_at > now {
                return true;
            }
            let is_connected = self.user_sockets.has_session(session);
            if is_connected {
                due.push((session.clone(), connected.user.clone()));
            }
            is_connected
        });
        due
    }
}

/// With jitter, for sessions that connected together.
fn next_check(expires_at: Timestamp) -> Timestamp {
    let again = MAX_AGE.mul_f64(rand::rng().random_range(0.5..1.0));
    let again = Timestamp::now().plus(again);
    expires_at.min(again)
}
