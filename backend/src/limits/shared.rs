//! Sliding windows that the instances of a fleet share, in Redis and by its clock.
//!
//! What must stay true: a place is taken before the outcome is known, so that what is tried on many instances at once
//! is counted as if one after the other.

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
    /// Whether the last answer was none.
    away: AtomicBool,
}

/// A place that was taken.
pub(super) struct Place {
    key: String,
    member: String,
}

/// What Redis says of one who wants a place.
pub(super) enum Verdict {
    Taken(Place),
    /// None is free for so long.
    Wait(Duration),
    /// Redis is away: whoever asks has to count alone.
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

    /// Takes `count` places, of which the first can be given back.
    pub(super) async fn take(&self, limit: Limit, key: Key, count: usize) -> Verdict {
        let place = Place {
            key: self.key(limit, key),
            member: format!("{:032x}", rand::random::<u128>()),
        };
        let window = limit.window.as_millis() as u64;
        let args = (window, limit.most, &place.member, count);
        let wait = self
            .redis
            .script::<u64>(&SLIDING_WINDOW, &[&place.key], args)
            .await;
        match self.noted(wait) {
            None => Verdict::Away,
            Some(0) => Verdict::Taken(place),
            Some(wait) => Verdict::Wait(Duration::from_millis(wait)),
        }
    }

    /// Frees all places of the one who took this.
    pub(super) async fn forgive(&self, place: Place) {
        let forgiven = self.redis.run::<()>(cmd("UNLINK").arg(place.key)).await;
        self.noted(forgiven);
    }

    /// Frees a place whose taker did nothing with it, later.
    pub(super) fn give_back(&self, place: Place) {
        let redis = self.redis.clone();
        let give_back = async move {
            let command = cmd("ZREM").arg(place.key).arg(place.member).take();
            if let Err(error) = redis.run::<()>(command).await {
                tracing::debug!(%error, "a place in a window wasn't given back; it ends by itself");
            }
        };
        // None at the end of the program: then it ends by itself as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(give_back);
        }
    }

    fn key(&self, limit: Limit, Key(key): Key) -> String {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = tag(partition_of(&name));
        format!("{{{tag}}}{}:{}:{name}", self.key_prefix, limit.name)
    }

    /// Tells the log when Redis goes and when it comes back.
    fn noted<T>(&self, answer: Result<T, RedisError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.away.load(Relaxed) && self.away.swap(false, Relaxed) {
                    tracing::info!("limits are counted together again");
                }
                Some(answer)
            }
            Err(error) => {
                if !self.away.swap(true, Relaxed) {
                    tracing::warn!(%error, "limits are counted by this instance alone while Redis is away");
                }
                None
            }
        }
    }
}
