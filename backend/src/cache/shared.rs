//! The layer in Redis, which the instances of a fleet share.
//!
//! What must stay true: a value that was read from the store before an invalidation isn't written after it. Who finds nothing takes
//! a lease on the key, and writes only while it has it; an invalidation ends it.

use std::{sync::LazyLock, time::Duration};

use redis_client::{
    FromRedisValue, RedisClient, RedisError, Script, ToRedisArgs, cmd, partition_of, tag,
};
use tokio::{runtime::Handle, time::timeout};

static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));

/// How long whoever found nothing may take to read the value from the store.
const LEASE: Duration = Duration::from_secs(5);

/// How long Redis may take, whose only use is to be faster than the store.
const PATIENCE: Duration = Duration::from_millis(250);

/// Redis is away, or too slow.
pub(super) struct NoAnswer;

#[derive(Clone)]
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

/// The right to write a value. Dropped, it is given back in the background: whoever reads the value may go away meanwhile.
pub(super) struct Lease {
    layer: SharedLayer,
    key: String,
    token: String,
    has_ended: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // There is no runtime at the end of the program.
        if !self.has_ended
            && let Ok(runtime) = Handle::try_current()
        {
            let (key, token) = (
                std::mem::take(&mut self.key),
                std::mem::take(&mut self.token),
            );
            let layer = self.layer.clone();
            runtime.spawn(async move {
                // Without an answer it expires.
                drop(layer.call::<u32>(&WRITE, &key, (token, 0)).await);
            });
        }
    }
}

impl SharedLayer {
    pub(super) fn new(redis: RedisClient, key_prefix: &str) -> Self {
        Self {
            redis,
            key_prefix: key_prefix.to_owned(),
        }
    }

    /// How many connections to Redis were lost.
    pub(super) fn losses(&self) -> u64 {
        self.redis.stats().disconnects()
    }

    pub(super) async fn read(&self, key: &str) -> Result<Found, NoAnswer> {
        // Before it is known whether there is one, so that it isn't left behind by who goes away before the answer.
        let mut lease = Lease {
            layer: self.clone(),
            key: self.key(key),
            token: format!("{:016x}", rand::random::<u64>()),
            has_ended: false,
        };
        let args = (lease.token.as_str(), LEASE.as_millis() as u64);
        let parts = self.call::<Vec<Vec<u8>>>(&READ, &lease.key, args).await;
        lease.has_ended = true;
        let mut parts = parts?.into_iter();
        Ok(match (parts.next().as_deref(), parts.next()) {
            (Some(b"value"), Some(value)) => Found::Value(value),
            (Some(b"lease"), _) => {
                lease.has_ended = false;
                Found::Lease(lease)
            }
            _ => Found::Busy,
        })
    }

    /// Writes a value, unless the lease has ended.
    pub(super) async fn write(
        &self,
        mut lease: Lease,
        value: &[u8],
        life: Duration,
    ) -> Result<(), NoAnswer> {
        let args = (
            lease.token.as_str(),
            (life.as_millis() as u64).max(1),
            value,
        );
        let written = self.call::<u32>(&WRITE, &lease.key, args).await;
        lease.has_ended = true;
        written.map(drop)
    }

    /// Ends the lease: there is nothing to write.
    pub(super) async fn give_back(&self, mut lease: Lease) -> Result<(), NoAnswer> {
        let args = (lease.token.as_str(), 0);
        let given_back = self.call::<u32>(&WRITE, &lease.key, args).await;
        lease.has_ended = true;
        given_back.map(drop)
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

    pub(super) fn key(&self, key: &str) -> String {
        let tag = tag(partition_of(key));
        format!("{{{tag}}}{}:cache:{key}", self.key_prefix)
    }
}
