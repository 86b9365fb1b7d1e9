//! Sliding windows that the instances of a fleet share, in Redis and by its clock.
//!
//! What must stay true: an attempt is counted before its outcome is known, so that attempts on many instances at once are
//! counted as if made one after the other.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use redis_client::{RedisClient, RedisError, Script, cmd, partition_of, tag};

use super::{Key, Limit};

static SLIDING_WINDOW: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("sliding_window.lua")));

/// Windows in a Redis.
pub(super) struct SharedWindows {
    redis: RedisClient,
    key_prefix: String,
    /// True if Redis didn't answer the last time.
    away: AtomicBool,
}

/// What was counted, and can be taken back.
pub(super) struct Hit {
    key: String,
    member: String,
}

/// The decision of Redis.
pub(super) enum Verdict {
    Granted(Hit),
    /// The limit is reached for so long.
    Wait(Duration),
    /// Redis is away: the instance has to count alone.
    Away,
}

impl SharedWindows {
    pub(super) fn new(redis: RedisClient, key_prefix: String) -> Self {
        Self {
            redis,
            key_prefix,
            away: AtomicBool::new(false),
        }
    }

    /// Counts `count` times, of which the first can be taken back.
    pub(super) async fn take(&self, limit: Limit, key: Key, count: usize) -> Verdict {
        let hit = Hit {
            key: self.key(limit, key),
            member: format!("{:032x}", rand::random::<u128>()),
        };
        let window = limit.window.as_millis() as u64;
        let args = (window, limit.most, &hit.member, count);
        let wait = self
            .redis
            .script::<u64>(&SLIDING_WINDOW, &[&hit.key], args)
            .await;
        match self.log_changes(wait) {
            None => Verdict::Away,
            Some(0) => Verdict::Granted(hit),
            Some(wait) => Verdict::Wait(Duration::from_millis(wait)),
        }
    }

    /// Forgets everything that was counted in the window of this hit.
    pub(super) async fn reset(&self, hit: Hit) {
        let reset = self.redis.run::<()>(cmd("UNLINK").arg(hit.key)).await;
        self.log_changes(reset);
    }

    /// Takes a hit back, in the background.
    pub(super) fn take_back(&self, hit: Hit) {
        let redis = self.redis.clone();
        let take_back = async move {
            let command = cmd("ZREM").arg(hit.key).arg(hit.member).take();
            if let Err(error) = redis.run::<()>(command).await {
                tracing::debug!(%error, "a hit wasn't taken back; it expires by itself");
            }
        };
        // There is none at the end of the program; the hit expires by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(take_back);
        }
    }

    fn key(&self, limit: Limit, Key(key): Key) -> String {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = tag(partition_of(&name));
        format!("{{{tag}}}{}:{}:{name}", self.key_prefix, limit.name)
    }

    /// Logs when Redis goes away and when it is back.
    fn log_changes<T>(&self, answer: Result<T, RedisError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.away.load(Relaxed) && self.away.swap(false, Relaxed) {
                    tracing::info!("rate limits are shared between instances again");
                }
                Some(answer)
            }
            Err(error) => {
                if !self.away.swap(true, Relaxed) {
                    tracing::warn!(%error, "rate limits are counted by this instance alone while Redis is away");
                }
                None
            }
        }
    }
}
