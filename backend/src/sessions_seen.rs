//! When and where sessions were last seen, gathered and written together.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;
use protocol::{SessionId, Timestamp};
use storage::{MessageStore, SessionSeen};

/// Minutes don't matter in a list of devices; writes do.
const EVERY: Duration = Duration::from_secs(15);

/// Sessions that wait to be written; beyond that one is only seen the next time.
const WAITING: usize = 100_000;

/// What wasn't written yet.
#[derive(Default)]
pub struct SessionsSeen(Mutex<HashMap<SessionId, (Timestamp, IpAddr)>>);

impl SessionsSeen {
    /// A session was seen now.
    pub fn note(&self, session: &SessionId, address: IpAddr) {
        let mut waiting = self.0.lock();
        if waiting.len() < WAITING || waiting.contains_key(session) {
            waiting.insert(session.clone(), (Timestamp::now(), address));
        }
    }

    /// Writes what was gathered.
    pub async fn write(&self, store: &MessageStore) {
        let waiting = std::mem::take(&mut *self.0.lock());
        if waiting.is_empty() {
            return;
        }
        let seen = waiting
            .into_iter()
            .map(|(id, (at, address))| SessionSeen {
                id,
                at,
                address: address.to_string(),
            })
            .collect();
        if let Err(error) = store.touch_sessions(seen).await {
            tracing::warn!(%error, "last-seen times of sessions weren't written");
        }
    }

    /// Writes from time to time, for ever.
    pub async fn run(&self, store: &MessageStore) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.write(store).await;
        }
    }
}
