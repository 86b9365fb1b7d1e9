//! Sessions of a fleet, in Redis. All of a user's are one hash, so that each request is one script on one key: making one
//! and ending the oldest, rotating a token, or revoking all happen at once, whatever other instances do meanwhile.
//! Beside it each partition keeps the ends of the last hour, for instances that start or missed something.
//!
//! What must stay true:
//! - a key holds its partition's tag, and a script's keys lie in one slot;
//! - every key expires, with its last session, an hour after the last end, or 40 days after the partition's last sign-in; what is
//!   cleaned up before is single sessions of users who have others;
//! - a session is created only at the version that the user's sessions must have, which is stored here when all of them
//!   are ended: so a sign-in with the old password creates none, however long it takes;
//! - a master that fails may take its last writes with it. A rotation that is lost is recognised by the successor
//!   (`rotate.lua`); a session that is lost has to sign in again; a revocation that is lost is still known to the instances that
//!   heard of it, which revoke it again when it is used.

use std::sync::LazyLock;

use protocol::{SessionId, Timestamp, UserId};
use redis_client::{Command, PARTITIONS, RedisClient, RedisError, Script, cmd, partition_of, tag};

use super::{
    NewSession, REPEAT_MS, Refresh, Refreshed, SESSIONS_PER_USER, SessionCounts, SessionRef,
    SessionSeen, StoredSession,
};
use crate::{StoreError, error::cause};

/// Sessions of one partition that are removed in one go.
const PURGE: u32 = 100;

/// Commands sent in one go.
const BATCH: usize = 1_000;

macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("redis/record.lua"),
                "\n",
                include_str!($file)
            ))
        });
    };
}

script!(CREATE, "redis/create.lua");
script!(ROTATE, "redis/rotate.lua");
script!(LIST, "redis/list.lua");
script!(EXPIRY, "redis/expiry.lua");
script!(TOUCH, "redis/touch.lua");
script!(REVOKE, "redis/revoke.lua");
script!(REVOKE_ALL, "redis/revoke_all.lua");

static CLEAN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/clean.lua")));

/// A session as the scripts show it: device, address, and when it was made, last seen, and expires.
type Shown = (String, String, i64, i64, i64);

/// Sessions in Redis. Cloning shares it.
#[derive(Clone)]
pub(super) struct RedisSessions {
    redis: RedisClient,
    key_prefix: String,
}

impl RedisSessions {
    pub(super) fn new(redis: RedisClient, key_prefix: String) -> Self {
        Self { redis, key_prefix }
    }

    /// The user's sessions, what was revoked in the partition, the version that the user's sessions must have, and when the
    /// partition's sessions expire.
    fn keys(&self, user: &UserId) -> [String; 4] {
        let partition = partition_of(user.as_str());
        let (tag, prefix) = (tag(partition), &self.key_prefix);
        [
            format!("{{{tag}}}{prefix}:sessions:{user}"),
            self.revoked_key(partition),
            format!("{{{tag}}}{prefix}:sign-in-version:{user}"),
            self.expiry_key(partition),
        ]
    }

    fn revoked_key(&self, partition: u16) -> String {
        format!("{{{}}}{}:revoked-sessions", tag(partition), self.key_prefix)
    }

    fn expiry_key(&self, partition: u16) -> String {
        format!("{{{}}}{}:session-expiry", tag(partition), self.key_prefix)
    }

    pub(super) async fn create_session(
        &self,
        session: NewSession,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let args = (
            now.unix_ms(),
            session.id.as_str(),
            session.device,
            session.address,
            &session.refresh.0,
            &session.successor.0,
            session.expires_at.unix_ms(),
            SESSIONS_PER_USER,
            session.sign_in_version,
        );
        let keys = self.keys(&session.user_id);
        let ended: Option<Vec<String>> = self
            .redis
            .script(&CREATE, &keys, args)
            .await
            .map_err(failed)?;
        ids(ended.ok_or(StoreError::NotFound)?)
    }

    pub(super) async fn refresh_session(
        &self,
        refresh: Refresh,
        now: Timestamp,
    ) -> Result<Refreshed, StoreError> {
        let args = (
            now.unix_ms(),
            refresh.session_id.as_str(),
            &refresh.presented.0,
            &refresh.successor.0,
            &refresh.after.0,
            refresh.address,
            refresh.expires_at.unix_ms(),
            REPEAT_MS,
            refresh.sign_in_version,
        );
        let keys = self.keys(&refresh.user_id);
        let answer: Option<(String, Shown)> = self
            .redis
            .script(&ROTATE, &keys, args)
            .await
            .map_err(failed)?;
        let (outcome, shown) = answer.ok_or(StoreError::NotFound)?;
        let session = stored(refresh.session_id, refresh.user_id, shown);
        match outcome.as_str() {
            "rotated" => Ok(Refreshed::Rotated(session)),
            "repeated" => Ok(Refreshed::Repeated(session)),
            "reused" => Ok(Refreshed::Reused(session)),
            _ => Err(StoreError::internal("an unknown answer of rotate.lua")),
        }
    }

    pub(super) async fn sessions(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<StoredSession>, StoreError> {
        let listed: Vec<(String, Shown)> = self
            .redis
            .script(&LIST, &self.keys(user), now.unix_ms())
            .await
            .map_err(failed)?;
        let mut sessions = listed
            .into_iter()
            .map(|(session, shown)| Ok(stored(id(&session)?, user.clone(), shown)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        sessions.sort_by(|one, other| {
            let order = |session: &StoredSession| (session.last_seen_at, session.created_at);
            (order(other), &other.id).cmp(&(order(one), &one.id))
        });
        Ok(sessions)
    }

    pub(super) async fn good_sessions(
        &self,
        sessions: Vec<SessionRef>,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        let mut good = Vec::with_capacity(sessions.len());
        for sessions in sessions.chunks(BATCH) {
            let looks = sessions
                .iter()
                .map(|session| {
                    let args = (now.unix_ms(), session.id.as_str(), session.sign_in_version);
                    EXPIRY.call(&self.keys(&session.user_id), args)
                })
                .collect();
            let looks = self.redis.run_all::<Option<i64>>(looks).await;
            for (session, expiry) in sessions.iter().zip(looks) {
                if let Some(expiry) = expiry.map_err(failed)? {
                    good.push((session.id.clone(), Timestamp::from_unix_ms(expiry)));
                }
            }
        }
        Ok(good)
    }

    pub(super) async fn without_sessions(
        &self,
        users: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Vec<UserId>, StoreError> {
        let mut without = Vec::new();
        for users in users.chunks(BATCH) {
            let lists = users
                .iter()
                .map(|user| LIST.call(&self.keys(user), now.unix_ms()))
                .collect();
            let lists = self.redis.run_all::<Vec<(String, Shown)>>(lists).await;
            for (user, list) in users.iter().zip(lists) {
                if list.map_err(failed)?.is_empty() {
                    without.push(user.clone());
                }
            }
        }
        Ok(without)
    }

    pub(super) async fn touch_sessions(&self, seen: Vec<SessionSeen>) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for seen in seen.chunks(BATCH) {
            let touches = seen
                .iter()
                .map(|seen| {
                    let args = (seen.at.unix_ms(), seen.id.as_str(), &seen.address);
                    TOUCH.call(&self.keys(&seen.user_id), args)
                })
                .collect();
            // One master that is away doesn't keep those of the others from being stored.
            for touched in self.redis.run_all::<()>(touches).await {
                outcome = outcome.and(touched.map_err(failed));
            }
        }
        outcome
    }

    pub(super) async fn revoke_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let args = (now.unix_ms(), session.as_str());
        let revoked: bool = self
            .redis
            .script(&REVOKE, &self.keys(user), args)
            .await
            .map_err(failed)?;
        revoked.then_some(()).ok_or(StoreError::NotFound)
    }

    pub(super) async fn revoke_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        sign_in_version: u64,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let except = except.map_or("", SessionId::as_str);
        let args = (now.unix_ms(), except, sign_in_version);
        let revoked = self.redis.script(&REVOKE_ALL, &self.keys(user), args).await;
        ids(revoked.map_err(failed)?)
    }

    pub(super) async fn revoked_sessions(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        let reads = (0..PARTITIONS)
            .map(|partition| {
                cmd("ZRANGEBYSCORE")
                    .arg(self.revoked_key(partition))
                    .arg(since.unix_ms())
                    .arg("+inf")
                    .arg("WITHSCORES")
                    .take()
                    .into()
            })
            .collect();
        let mut revoked = Vec::new();
        for read in self.redis.run_all::<Vec<(String, f64)>>(reads).await {
            for (session, at) in read.map_err(failed)? {
                revoked.push((id(&session)?, Timestamp::from_unix_ms(at as i64)));
            }
        }
        Ok(revoked)
    }

    pub(super) async fn count_sessions(&self, now: Timestamp) -> Result<SessionCounts, StoreError> {
        let count = |from: String| {
            let counts = (0..PARTITIONS).map(|partition| {
                cmd("ZCOUNT")
                    .arg(self.expiry_key(partition))
                    .arg(&from)
                    .arg("+inf")
                    .take()
                    .into()
            });
            self.sum(counts.collect())
        };
        let live = count(format!("({}", now.unix_ms())).await?;
        let all = count("-inf".to_owned()).await?;
        Ok(SessionCounts {
            live,
            ended: all.saturating_sub(live),
        })
    }

    pub(super) async fn purge_sessions(&self, before: Timestamp) -> Result<usize, StoreError> {
        let cleaning = (0..PARTITIONS).map(|partition| {
            let key = self.expiry_key(partition);
            CLEAN.call(std::slice::from_ref(&key), (before.unix_ms(), PURGE))
        });
        Ok(self.sum(cleaning.collect()).await? as usize)
    }

    async fn sum(&self, requests: Vec<Command>) -> Result<u64, StoreError> {
        let mut sum = 0;
        for count in self.redis.run_all::<u64>(requests).await {
            sum += count.map_err(failed)?;
        }
        Ok(sum)
    }
}

fn id(text: &str) -> Result<SessionId, StoreError> {
    text.parse()
        .map_err(|_| StoreError::internal("a session in Redis has a name that is no id"))
}

fn ids(texts: Vec<String>) -> Result<Vec<SessionId>, StoreError> {
    texts.iter().map(|text| id(text)).collect()
}

fn stored(id: SessionId, user_id: UserId, shown: Shown) -> StoredSession {
    let (device, address, created, seen, expires) = shown;
    StoredSession {
        id,
        user_id,
        device,
        address,
        created_at: Timestamp::from_unix_ms(created),
        last_seen_at: Timestamp::from_unix_ms(seen),
        expires_at: Timestamp::from_unix_ms(expires),
    }
}

fn failed(error: RedisError) -> StoreError {
    match error {
        RedisError::Unavailable(_) | RedisError::Unanswered(_) => {
            StoreError::Unavailable(cause(error))
        }
        RedisError::Refused { .. } | RedisError::Unexpected(_) => {
            StoreError::Internal(cause(error))
        }
    }
}
