//! The layer in Redis, which the instances of a fleet share.
//!
//! What must stay true: a value that was read from the store before an invalidation isn't written after it. Who finds nothing takes
//! a lease on the key, and writes only while it has it; an invalidation ends it.

use std::{sync::LazyLock, time::Duration};

use redis_client::{
    FromRedisValue, RedisClient, RedisError, Script, ToRedisArgs, cmd, partition_of, tag,
};
use tokio::time::timeout;

static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));

/// How long whoever found nothing may take to read the value from the store.
const LEASE: Duration = Duration::from_secs(5);

/// How long Redis may take, whose only use is to be faster than the store.
const PATIENCE: Duration = Duration::from_millis(250);

/// Redis is away, or too slow.
pub(super) struct NoAnswer;

pub(super) struct SharedLayer {
    redis: RedisClient,
    key_prefix: String,
}

/// What is found in Redis.
pub(super) enum Found {
    Value(Vec<u8>),
    /// Nothing, and the right to write it.
    Lease(Lease),
    /// Nothing, and somebody else is about to write it.
    Busy,
}

/// The right to write a value.
pub(super) struct Lease {
    key: String,
    token: String,
}

impl SharedLayer {
    pub(super) fn new(redis: RedisClient, key_prefix: &str) -> Self {
        Self {
            redis,
            key_prefix: key_prefix.to_owned(),
        }
    }

    pub(super) async fn read(&self, key: &str) -> Result<Found, NoAnswer> {
        let lease = Lease {
            key: self.key(key),
            token: format!("{:016x}", rand::random::<u64>()),
        };
        let args = (lease.token.as_str(), LEASE.as_millis() as u64);
        let parts: Vec<Vec<u8>> = self.call(&READ, &lease.key, args).await?;
        let mut parts = parts.into_iter();
        Ok(match (parts.next().as_deref(), parts.next()) {
            (Some(b"value"), Some(value)) => Found::Value(value),
            (Some(b"lease"), _) => Found::Lease(lease),
            _ => Found::Busy,
        })
    }

    /// Writes a value, unless the lease has ended.
    pub(super) async fn write(
        &self,
        Lease { key, token }: Lease,
        value: &[u8],
        life: Duration,
    ) -> Result<(), NoAnswer> {
        let args = (token, (life.as_millis() as u64).max(1), value);
        self.call::<u32>(&WRITE, &key, args).await.map(drop)
    }

    /// Ends the lease: there is nothing to write.
    pub(super) async fn give_back(&self, Lease { key, token }: Lease) -> Result<(), NoAnswer> {
        self.call::<u32>(&WRITE, &key, (token, 0)).await.map(drop)
    }

    /// Removes values, and ends the leases of who is about to write them.
    pub(super) async fn remove(
        &self,
        keys: impl Iterator<Item = &str>,
    ) -> Vec<Result<(), RedisError>> {
        let unlink = |key| cmd("UNLINK").arg(self.key(key)).take().into();
        self.redis.run_all(keys.map(unlink).collect()).await
    }

    async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, NoAnswer> {
        let keys = [key];
        let answer = self.redis.script(script, &keys, args);
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(NoAnswer),
        }
    }

    fn key(&self, key: &str) -> String {
        let tag = tag(partition_of(key));
        format!("{{{tag}}}{}:cache:{key}", self.key_prefix)
    }
}
