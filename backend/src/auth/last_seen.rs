//! When and from where sessions were last seen, buffered and written together.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;
use protocol::{SessionId, Timestamp, UserId};
use storage::{SessionSeen, Sessions};

use super::actor::Actor;

/// Seconds don't matter in a list of devices; writes do.
const WRITE_EVERY: Duration = Duration::from_secs(15);

/// Sessions in the buffer; beyond that a session is recorded the next time it is seen.
const BUFFERED: usize = 100_000;

/// Sessions that were seen since the last write.
pub struct LastSeenBuffer {
    buffer: Mutex<HashMap<SessionId, (UserId, Timestamp, IpAddr)>>,
    sessions: Sessions,
}

impl LastSeenBuffer {
    /// An empty buffer before `sessions`.
    pub fn new(sessions: Sessions) -> Self {
        Self {
            buffer: Mutex::default(),
            sessions,
        }
    }

    /// Records that the actor's session was seen now.
    pub fn record(&self, actor: &Actor, address: IpAddr) {
        if actor.external.is_some() {
            // It has no session here.
            return;
        }
        let session = &actor.session_id;
        let mut buffer = self.buffer.lock();
        if buffer.len() < BUFFERED || buffer.contains_key(session) {
            let seen = (actor.user_id.clone(), Timestamp::now(), address);
            buffer.insert(session.clone(), seen);
        }
    }

    /// Writes the buffer.
    pub async fn flush(&self) {
        let buffer = std::mem::take(&mut *self.buffer.lock());
        if buffer.is_empty() {
            return;
        }
        let seen = buffer
            .into_iter()
            .map(|(id, (user_id, at, address))| SessionSeen {
                user_id,
                id,
                at,
                address: address.to_string(),
            })
            .collect();
        if let Err(error) = self.sessions.touch_sessions(seen).await {
            tracing::warn!(%error, "last-seen times of sessions couldn't be written");
        }
    }

    /// Writes from time to time, for ever.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            self.flush().await;
        }
    }
}
