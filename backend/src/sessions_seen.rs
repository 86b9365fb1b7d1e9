//! When and where sessions were last seen, gathered and written together.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;
use protocol::{SessionId, Timestamp, UserId};
use storage::{SessionSeen, Sessions};

use crate::actor::Actor;

/// Minutes don't matter in a list of devices; writes do.
const EVERY: Duration = Duration::from_secs(15);

/// Sessions that wait to be written; beyond that one is only seen the next time.
const WAITING: usize = 100_000;

/// What wasn't written yet.
#[derive(Default)]
pub struct SessionsSeen(Mutex<HashMap<SessionId, (UserId, Timestamp, IpAddr)>>);

impl SessionsSeen {
    /// The actor's session was seen now.
    pub fn note(&self, actor: &Actor, address: IpAddr) {
        let session = &actor.session_id;
        let mut waiting = self.0.lock();
        if waiting.len() < WAITING || waiting.contains_key(session) {
            let seen = (actor.user_id.clone(), Timestamp::now(), address);
            waiting.insert(session.clone(), seen);
        }
    }

    /// Writes what was gathered.
    pub async fn write(&self, sessions: &Sessions) {
        let waiting = std::mem::take(&mut *self.0.lock());
        if waiting.is_empty() {
            return;
        }
        let seen = waiting
            .into_iter()
            .map(|(id, (user_id, at, address))| SessionSeen {
                user_id,
                id,
                at,
                address: address.to_string(),
            })
            .collect();
        if let Err(error) = sessions.touch_sessions(seen).await {
            tracing::warn!(%error, "last-seen times of sessions weren't written");
        }
    }

    /// Writes from time to time, for ever.
    pub async fn run(&self, sessions: &Sessions) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.write(sessions).await;
        }
    }
}
