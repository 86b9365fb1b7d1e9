//! Sessions that have ended while access tokens of theirs are still good. Held in memory, so that a check costs no
//! I/O; read from the store at the start.
//!
//! What must stay true: a session is here before its connections are looked up, and until the last token that could
//! name it has expired. Nothing is dropped for want of room: each entry took a sign-in, which are limited themselves.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use gateway::Frame;
use parking_lot::RwLock;
use protocol::{ServerEvent, SessionId, SessionRevoked, Timestamp};
use storage::{MessageStore, StoreError};

use crate::{access_tokens::ACCESS_TOKEN_LIFE, app::App, chat::topics};

/// The sessions that ended lately.
#[derive(Default)]
pub struct Revocations(RwLock<Ended>);

#[derive(Default)]
struct Ended {
    sessions: HashSet<SessionId>,
    /// The same with their time, the earliest first.
    order: VecDeque<(Timestamp, SessionId)>,
}

impl Revocations {
    /// Those that ended in the last 15 minutes.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn load(store: &MessageStore) -> Result<Self, StoreError> {
        let now = Timestamp::now();
        let mut ended = store
            .revoked_sessions(before(now, ACCESS_TOKEN_LIFE))
            .await?;
        ended.sort_by_key(|(_, at)| *at);
        let revocations = Self::default();
        for (session, at) in ended {
            revocations.add(&session, at);
        }
        Ok(revocations)
    }

    /// Whether a session has ended.
    pub fn contains(&self, session: &SessionId) -> bool {
        self.0.read().sessions.contains(session)
    }

    fn add(&self, session: &SessionId, now: Timestamp) {
        let expired = before(now, ACCESS_TOKEN_LIFE);
        let mut ended = self.0.write();
        while let Some((_, session)) = ended.order.pop_front_if(|(at, _)| *at < expired) {
            ended.sessions.remove(&session);
        }
        if ended.sessions.insert(session.clone()) {
            ended.order.push_back((now, session.clone()));
        }
    }
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms() - by.as_millis() as i64)
}

/// Makes the end of a session, which the store knows already, felt: its tokens are refused, and its connections are
/// told and disconnected.
pub fn revoke(app: &App, session: &SessionId) {
    app.revocations.add(session, Timestamp::now());
    let told = Frame::event_from_json("/", SessionRevoked::NAME, "{}", Vec::new());
    for socket in app.hub.sockets(&topics::session(session)) {
        socket.send(&told);
        socket.disconnect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_as_long_as_its_tokens_live() {
        let revocations = Revocations::default();
        let at = |seconds: i64| Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1_000);
        let (first, second) = (SessionId::trusted("s-1"), SessionId::trusted("s-2"));
        revocations.add(&first, at(0));
        revocations.add(&first, at(1));
        revocations.add(&second, at(900));
        assert!(revocations.contains(&first) && revocations.contains(&second));
        revocations.add(&second, at(901));
        assert!(!revocations.contains(&first) && revocations.contains(&second));
        assert_eq!(revocations.0.read().order.len(), 1);
    }
}
