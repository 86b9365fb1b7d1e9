//! Sessions: one sign-in of one device, kept alive by refresh tokens of which only hashes are here.
//!
//! The successor of a refresh token must be derived from the token and a secret of the server, so
//! that the same token always has the same successor: then a client whose answer got lost can ask
//! again and get the same one, although the store never knew it.

mod redis;

use std::fmt;

use protocol::{SessionId, Timestamp, UserId};
use redis_client::RedisClient;

use crate::{
    MessageStore, StoreError,
    message_store::{self, SqliteStore},
};
use redis::RedisSessions;

/// Sessions of one user that are valid at the same time; a new one ends the oldest.
pub(crate) const SESSIONS_PER_USER: usize = 20;

/// How long a refresh token may be presented again after it was used, in milliseconds: enough for a client to notice that
/// the answer was lost.
pub(crate) const REPEAT_MS: i64 = 30_000;

/// A version later than all that a user will have: of one who is deleted.
pub const NO_SIGN_IN: u64 = i64::MAX as u64;

/// SHA-256 of a refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// One sign-in of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Never changes.
    pub id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// What the device called itself.
    pub device: String,
    /// The network address it was last seen at.
    pub address: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// A session to be created.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Made by the caller, whose tokens name it.
    pub id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// What the device calls itself.
    pub device: String,
    /// The network address.
    pub address: String,
    /// Of the first refresh token.
    pub refresh: TokenHash,
    /// Of that token's successor: see [`Refresh::after`].
    pub successor: TokenHash,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
    /// The user's when the password was read: see [`StoredUser::sign_in_version`](crate::StoredUser::sign_in_version).
    pub sign_in_version: u64,
}

/// A refresh token on its way to its successor.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The user that the token names.
    pub user_id: UserId,
    /// The session that it names.
    pub session_id: SessionId,
    /// Of the token. The caller has made sure that the server issued it: a token that is neither
    /// the present one nor the one before ends the session, and a guess must not.
    pub presented: TokenHash,
    /// Of its successor.
    pub successor: TokenHash,
    /// Of the successor's successor. A back end that may lose its last writes knows by it a token that was given out
    /// by a rotation which it has lost.
    pub after: TokenHash,
    /// The network address that it came from.
    pub address: String,
    /// When the session ends from now on.
    pub expires_at: Timestamp,
    /// The user's version now. A session of an earlier one isn't valid.
    pub sign_in_version: u64,
}

/// The outcome of a [`Refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// The successor is the token from now on.
    Rotated(StoredSession),
    /// The token was used less than 30 s ago; its successor is still the token.
    Repeated(StoredSession),
    /// The token was used before, so somebody has a copy: the session is revoked now.
    Reused(StoredSession),
}

/// A reference to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRef {
    /// The session.
    pub id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// The user's version now. A session of an earlier one isn't valid.
    pub sign_in_version: u64,
}

/// When and where a session was seen.
#[derive(Debug, Clone)]
pub struct SessionSeen {
    /// Its user.
    pub user_id: UserId,
    /// The session.
    pub id: SessionId,
    /// When.
    pub at: Timestamp,
    /// The network address.
    pub address: String,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Those that are valid.
    pub live: u64,
    /// Those that have ended and aren't removed yet.
    pub ended: u64,
}

/// The sessions of the users who are signed in, in one of two back ends. Cloning shares it.
#[derive(Clone)]
pub struct Sessions(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(SqliteStore),
    Redis(RedisSessions),
}

/// Calls the back end's method of the same name.
macro_rules! on_backend {
    ($sessions:ident, $method:ident($($argument:expr),*)) => {
        match &$sessions.0 {
            Backend::Sqlite(store) => store.$method($($argument),*).await,
            Backend::Redis(redis) => redis.$method($($argument),*).await,
        }
    };
}

impl Sessions {
    /// The sessions in the embedded store's file; `None` if the store isn't embedded.
    pub fn embedded(store: &MessageStore) -> Option<Self> {
        match &store.backend {
            message_store::Backend::Sqlite(store) => Some(Self(Backend::Sqlite(store.clone()))),
            message_store::Backend::Mongodb(_) => None,
        }
    }

    /// The sessions of a fleet, in Redis. Everything there expires by itself; its clock must be right within minutes.
    /// Without Redis every call fails as `Unavailable`.
    pub fn redis(redis: RedisClient, key_prefix: impl Into<String>) -> Self {
        Self(Backend::Redis(RedisSessions::new(redis, key_prefix.into())))
    }

    /// Creates a session and returns those that it ended: of more than 20, the ones last seen
    /// earliest. `NotFound` if the user was deleted or all sessions of the version were revoked meanwhile.
    ///
    /// If accounts are stored elsewhere, that is known from [`Sessions::revoke_sessions`], for an hour: read the user
    /// again afterwards, in case that was lost.
    pub async fn create_session(
        &self,
        session: NewSession,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        on_backend!(self, create_session(session, now))
    }

    /// Exchanges a refresh token for its successor. `NotFound` if the session isn't valid any
    /// more, or if the caller derives successors by another secret than before.
    pub async fn refresh_session(
        &self,
        refresh: Refresh,
        now: Timestamp,
    ) -> Result<Refreshed, StoreError> {
        on_backend!(self, refresh_session(refresh, now))
    }

    /// The sessions of a user that are valid at `now`, at most 20, the last seen first.
    pub async fn sessions(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<StoredSession>, StoreError> {
        on_backend!(self, sessions(user, now))
    }

    /// Sets when and where sessions were last seen, many at once; unknown ones are skipped, and
    /// an earlier time doesn't replace a later one.
    pub async fn touch_sessions(&self, seen: Vec<SessionSeen>) -> Result<(), StoreError> {
        on_backend!(self, touch_sessions(seen))
    }

    /// Revokes one session of a user. `NotFound` if it isn't a valid one of that user.
    pub async fn revoke_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_backend!(self, revoke_session(user, session, now))
    }

    /// Those of these users who have no session that is valid at `now`.
    pub async fn without_sessions(
        &self,
        users: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Vec<UserId>, StoreError> {
        on_backend!(self, without_sessions(users, now))
    }

    /// Revokes the sessions of a user, who may be deleted, except one, and returns them. `except` belongs to
    /// `sign_in_version` from now on, and no session of an earlier version is created any more.
    pub async fn revoke_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        sign_in_version: u64,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        on_backend!(self, revoke_sessions(user, except, sign_in_version, now))
    }

    /// Those of these sessions that are valid at `now`, each with the time when it expires unless it is refreshed.
    pub async fn good_sessions(
        &self,
        sessions: Vec<SessionRef>,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        on_backend!(self, good_sessions(sessions, now))
    }

    /// The sessions that were revoked at `since` or later, each with the time of that. They are kept for an hour at least.
    pub async fn revoked_sessions(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        on_backend!(self, revoked_sessions(since))
    }

    /// How many sessions there are at `now`.
    pub async fn count_sessions(&self, now: Timestamp) -> Result<SessionCounts, StoreError> {
        on_backend!(self, count_sessions(now))
    }

    /// Removes some thousand sessions that were revoked or had expired before `before`, and returns how many; 0 once there are
    /// none left.
    pub async fn purge_sessions(&self, before: Timestamp) -> Result<usize, StoreError> {
        on_backend!(self, purge_sessions(before))
    }
}
