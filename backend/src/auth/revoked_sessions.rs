//! Revoked sessions in memory, so that a check costs no I/O.
//!
//! What must stay true: a session is kept until the last access token that could name it has expired. Nothing is evicted:
//! each entry took a sign-in, which is limited itself.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use parking_lot::RwLock;
use protocol::{SessionId, Timestamp};
use storage::{Sessions, StoreError};

use super::access_tokens::ACCESS_TOKEN_LIFE;

/// How far the clocks of instances may differ, and how long a revocation may take to reach the store.
const SLACK: Duration = Duration::from_secs(60);

/// The sessions that were revoked in the last 15 minutes.
pub struct RevokedSessions(RwLock<Revoked>);

struct Revoked {
    sessions: HashSet<SessionId>,
    /// The same with the time from which they are kept, in the order of these but for minutes.
    order: VecDeque<(Timestamp, SessionId)>,
    /// All revocations before this are known.
    known: Timestamp,
}

impl Default for RevokedSessions {
    /// None. Those of the last 15 minutes are [`RevokedSessions::missing`].
    fn default() -> Self {
        Self::known_until(before(Timestamp::now(), ACCESS_TOKEN_LIFE))
    }
}

impl RevokedSessions {
    fn known_until(known: Timestamp) -> Self {
        Self(RwLock::new(Revoked {
            sessions: HashSet::new(),
            order: VecDeque::new(),
            known,
        }))
    }

    /// True if the session was revoked.
    pub fn contains(&self, session: &SessionId) -> bool {
        self.0.read().sessions.contains(session)
    }

    /// Keeps a session for as long as its tokens live, from `now` on.
    pub fn insert(&self, session: &SessionId, now: Timestamp) {
        let expired = before(now, ACCESS_TOKEN_LIFE);
        let mut revoked = self.0.write();
        while let Some((_, session)) = revoked.order.pop_front_if(|(at, _)| *at < expired) {
            revoked.sessions.remove(&session);
        }
        if revoked.sessions.insert(session.clone()) {
            revoked.order.push_back((now, session.clone()));
        }
    }

    /// Those in the store that aren't here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn missing(&self, sessions: &Sessions) -> Result<Vec<SessionId>, StoreError> {
        let now = Timestamp::now();
        let since = before(self.0.read().known, SLACK);
        let stored = sessions.revoked_sessions(since).await?;
        let mut revoked = self.0.write();
        revoked.known = revoked.known.max(now);
        let missing = stored
            .into_iter()
            .map(|(session, _)| session)
            .filter(|session| !revoked.sessions.contains(session));
        Ok(missing.collect())
    }
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    now.minus(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_as_long_as_its_tokens_live() {
        let revoked = RevokedSessions::known_until(Timestamp::from_unix_ms(0));
        let at = |seconds: i64| Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1_000);
        let (first, second) = (SessionId::trusted("s-1"), SessionId::trusted("s-2"));
        revoked.insert(&first, at(0));
        revoked.insert(&first, at(1));
        revoked.insert(&second, at(900));
        assert!(revoked.contains(&first) && revoked.contains(&second));
        revoked.insert(&second, at(901));
        assert!(!revoked.contains(&first) && revoked.contains(&second));
        assert_eq!(revoked.0.read().order.len(), 1);
    }

    #[tokio::test]
    async fn missed_revocations_are_found_in_the_store() {
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
        let revoked = RevokedSessions::default();
        for session in revoked.missing(&sessions).await.unwrap() {
            revoked.insert(&session, now);
        }
        assert!(revoked.contains(&first) && !revoked.contains(&long_ago));
        // By another instance, whose clock is behind.
        let second = end("s-3", before(now, SLACK / 2)).await;
        assert!(!revoked.contains(&second));
        let missing = revoked.missing(&sessions).await.unwrap();
        assert_eq!(missing, std::slice::from_ref(&second));
        revoked.insert(&second, now);
        assert_eq!(revoked.missing(&sessions).await.unwrap(), []);
    }
}
