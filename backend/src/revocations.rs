//! Sessions that have ended while access tokens of theirs are still good. Held in memory, so that a check costs no
//! I/O; read from the sessions' store at the start, then told by whoever ends one.
//!
//! What must stay true: a session is here before its connections are looked up, and until the last token that could
//! name it has expired. Nothing is dropped for want of room: each entry took a sign-in, which are limited themselves.
//! An end is in the store before anybody is told, so that an instance which wasn't finds it there: as soon as it knows
//! that it may have missed something, and every few seconds in case it doesn't.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use gateway::Frame;
use parking_lot::RwLock;
use protocol::{ServerEvent, SessionId, SessionRevoked, Timestamp};
use storage::{Sessions, StoreError};
use tokio::sync::Notify;

use crate::{
    access_tokens::ACCESS_TOKEN_LIFE,
    app::App,
    bus::{self, Control},
};

/// How often ends are looked for that nobody told of: the one who should have lost its connection right then.
const EVERY: Duration = Duration::from_secs(10);

/// How far instances' clocks may differ, and how long an end may be on its way into the store.
const SLACK: Duration = Duration::from_secs(60);

/// The sessions that ended lately.
pub struct Revocations {
    ended: RwLock<Ended>,
    /// Some may have been missed.
    doubted: Notify,
}

struct Ended {
    sessions: HashSet<SessionId>,
    /// The same with the time from which they are kept, the earliest first but for minutes.
    order: VecDeque<(Timestamp, SessionId)>,
    /// Every end before this is known.
    known: Timestamp,
}

impl Default for Revocations {
    /// None; those of the last 15 minutes are to be read by [`reload`].
    fn default() -> Self {
        Self::known_until(before(Timestamp::now(), ACCESS_TOKEN_LIFE))
    }
}

impl Revocations {
    fn known_until(known: Timestamp) -> Self {
        Self {
            ended: RwLock::new(Ended {
                sessions: HashSet::new(),
                order: VecDeque::new(),
                known,
            }),
            doubted: Notify::new(),
        }
    }

    /// Ends may have been missed: they are read soon.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Whether a session has ended.
    pub fn contains(&self, session: &SessionId) -> bool {
        self.ended.read().sessions.contains(session)
    }

    /// Keeps a session for as long as its tokens live, from `now` on.
    fn add(&self, session: &SessionId, now: Timestamp) {
        let expired = before(now, ACCESS_TOKEN_LIFE);
        let mut ended = self.ended.write();
        while let Some((_, session)) = ended.order.pop_front_if(|(at, _)| *at < expired) {
            ended.sessions.remove(&session);
        }
        if ended.sessions.insert(session.clone()) {
            ended.order.push_back((now, session.clone()));
        }
    }

    /// Those in the store that aren't here.
    async fn unknown(&self, sessions: &Sessions) -> Result<Vec<SessionId>, StoreError> {
        let now = Timestamp::now();
        let since = before(self.ended.read().known, SLACK);
        let revoked = sessions.revoked_sessions(since).await?;
        let mut ended = self.ended.write();
        ended.known = ended.known.max(now);
        let unknown = revoked
            .into_iter()
            .map(|(session, _)| session)
            .filter(|session| !ended.sessions.contains(session));
        Ok(unknown.collect())
    }
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms() - by.as_millis() as i64)
}

/// Makes the end of a session, which the store knows already, felt on every instance.
pub fn revoke(app: &App, session: &SessionId) {
    bus::tell_everybody(app, Control::SessionRevoked(session.clone()));
}

/// Makes the end of a session felt on this instance: its tokens are refused, and its connections are told and
/// disconnected. Twice is the same as once.
pub fn apply(app: &App, session: &SessionId) {
    app.revocations.add(session, Timestamp::now());
    let told = Frame::event_from_json("/", SessionRevoked::NAME, "{}", Vec::new());
    for socket in app.user_sockets.of_session(session) {
        socket.send(&told);
        socket.disconnect();
    }
}

/// Applies what this instance may have missed, or doesn't know yet.
///
/// # Errors
/// If the store can't be read; the next call makes up for it.
pub async fn reload(app: &App) -> Result<(), StoreError> {
    for session in app.revocations.unknown(&app.sessions).await? {
        apply(app, &session);
    }
    Ok(())
}

/// Reloads from time to time and when some may have been missed, for ever: for a server that isn't alone.
pub async fn run(app: &App) {
    loop {
        let doubted = app.revocations.doubted.notified();
        // Either is a reason to look.
        drop(tokio::time::timeout(EVERY, doubted).await);
        if let Err(error) = reload(app).await {
            tracing::warn!(%error, "ended sessions couldn't be read; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_as_long_as_its_tokens_live() {
        let revocations = Revocations::known_until(Timestamp::from_unix_ms(0));
        let at = |seconds: i64| Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1_000);
        let (first, second) = (SessionId::trusted("s-1"), SessionId::trusted("s-2"));
        revocations.add(&first, at(0));
        revocations.add(&first, at(1));
        revocations.add(&second, at(900));
        assert!(revocations.contains(&first) && revocations.contains(&second));
        revocations.add(&second, at(901));
        assert!(!revocations.contains(&first) && revocations.contains(&second));
        assert_eq!(revocations.ended.read().order.len(), 1);
    }

    #[tokio::test]
    async fn ends_that_nobody_told_of_are_found_in_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = storage::MessageStore::open(directory.path()).await.unwrap();
        let sessions = Sessions::embedded(&store).unwrap();
        let now = Timestamp::now();
        let guest = store.create_guest("Ann".to_owned(), now).await.unwrap();
        let end = async |name: &str, at: Timestamp| {
            let id = SessionId::trusted(name);
            let session = storage::NewSession {
                id: id.clone(),
                user_id: guest.id.clone(),
                device: String::new(),
                address: String::new(),
                refresh: storage::TokenHash([1; 32]),
                successor: storage::TokenHash([2; 32]),
                expires_at: Timestamp::from_unix_ms(now.unix_ms() + 1_000_000),
                sign_in_version: 0,
            };
            sessions.create_session(session, at).await.unwrap();
            sessions.revoke_session(&guest.id, &id, at).await.unwrap();
            id
        };
        let long_ago = end("s-1", before(now, 2 * ACCESS_TOKEN_LIFE)).await;
        let first = end("s-2", before(now, ACCESS_TOKEN_LIFE / 2)).await;
        let revocations = Revocations::default();
        for session in revocations.unknown(&sessions).await.unwrap() {
            revocations.add(&session, now);
        }
        assert!(revocations.contains(&first) && !revocations.contains(&long_ago));
        // By another instance, whose clock is behind.
        let second = end("s-3", before(now, SLACK / 2)).await;
        assert!(!revocations.contains(&second));
        let unknown = revocations.unknown(&sessions).await.unwrap();
        assert_eq!(unknown, std::slice::from_ref(&second));
        revocations.add(&second, now);
        assert_eq!(revocations.unknown(&sessions).await.unwrap(), []);
    }
}
