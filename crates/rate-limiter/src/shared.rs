//! Counts that the instances of a fleet share, in Redis and by its clock.
//!
//! What must stay true: as long as Redis doesn't answer for the keys of a partition nobody waits for it but the one task that asks
//! whether it is back. Of a Cluster one server may be away; the keys of the others go on being shared.

use std::{
    collections::HashSet,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis_client::{RedisClient, RedisError, Script, cmd, partition_of, tag};

use crate::{key::Key, principal::Ask, tier::Shape};

static SLIDING_WINDOW: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("sliding_window.lua")));

/// How long an answer may take before the instance counts alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is asked whether Redis is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// The count in Redis.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    redis: RedisClient,
    key_prefix: String,
    /// The number of partitions for which it doesn't answer. Read at every decision; changed together with `since`.
    away: AtomicUsize,
    since: Mutex<Away>,
    errors: AtomicU64,
}

/// What Redis doesn't answer for.
#[derive(Default)]
struct Away {
    partitions: HashSet<u16>,
    /// Since when there is any, and for how long there was one before.
    since: Option<Instant>,
    before: Duration,
}

/// What Redis says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) taken: u32,
    pub(crate) slot: u64,
    pub(crate) wait: u64,
    pub(crate) used: u32,
}

/// Where one principal of a tier is counted.
pub(crate) fn redis_key(prefix: &str, tier: &str, key: Key) -> String {
    let name = key.to_hex();
    let tag = tag(partition_of(&name));
    format!("{{{tag}}}{prefix}:limit:{tier}:{name}")
}

fn partition(key: Key) -> u16 {
    partition_of(&key.to_hex())
}

impl Shared {
    pub(crate) fn new(redis: RedisClient, key_prefix: String) -> Self {
        Self(Arc::new(Inner {
            redis,
            key_prefix,
            away: AtomicUsize::new(0),
            since: Mutex::default(),
            errors: AtomicU64::new(0),
        }))
    }

    /// True if Redis doesn't answer for the partition of a key.
    pub(crate) fn is_away(&self, key: Key) -> bool {
        self.0.away.load(Relaxed) > 0 && self.0.since.lock().partitions.contains(&partition(key))
    }

    /// `None` if Redis doesn't answer.
    pub(crate) async fn ask(
        &self,
        tier: &str,
        key: Key,
        shape: &Shape,
        ask: Ask,
    ) -> Option<Answer> {
        let redis_key = redis_key(&self.0.key_prefix, tier, key);
        let answer = tokio::time::timeout(PATIENCE, self.0.ask(&redis_key, shape, ask)).await;
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => self.lost(partition(key), &redis_key, shape, &error),
            Err(_) => self.lost(partition(key), &redis_key, shape, &"no answer"),
        }
    }

    /// Forgets everything that was counted.
    ///
    /// # Errors
    /// If Redis doesn't do it.
    pub(crate) async fn clear(&self, tier: &str, key: Key) -> Result<(), RedisError> {
        let key = redis_key(&self.0.key_prefix, tier, key);
        let cleared = self.0.redis.run::<()>(cmd("UNLINK").arg(key)).await;
        cleared.inspect_err(|_| {
            self.0.errors.fetch_add(1, Relaxed);
        })
    }

    pub(crate) fn errors(&self) -> u64 {
        self.0.errors.load(Relaxed)
    }

    /// How long this instance has counted alone, since its start.
    pub(crate) fn alone(&self) -> Duration {
        let away = self.0.since.lock();
        away.before + away.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lost(
        &self,
        partition: u16,
        key: &str,
        shape: &Shape,
        error: &dyn std::fmt::Display,
    ) -> Option<Answer> {
        self.0.errors.fetch_add(1, Relaxed);
        let mut away = self.0.since.lock();
        if !away.partitions.insert(partition) {
            return None;
        }
        self.0.away.store(away.partitions.len(), Relaxed);
        if away.since.is_none() {
            tracing::warn!(%error, "rate limits are counted by this instance alone while Redis is away");
            away.since = Some(Instant::now());
        }
        // What failed is asked again.
        let (inner, key, shape) = (Arc::downgrade(&self.0), key.to_owned(), *shape);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROBE_EVERY).await;
                let Some(inner) = inner.upgrade() else {
                    return;
                };
                let look = inner.ask(&key, &shape, Ask::nothing());
                if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, look).await {
                    return inner.found(partition);
                }
            }
        });
        None
    }
}

impl Inner {
    async fn ask(&self, key: &str, shape: &Shape, ask: Ask) -> Result<Answer, RedisError> {
        let (back_to, back) = ask.back;
        let args = [
            shape.shared_hold,
            shape.width,
            shape.limit.into(),
            ask.owed.into(),
            ask.least.into(),
            ask.most.into(),
            back_to,
            back.into(),
        ];
        let (taken, slot, wait, used) = self
            .redis
            .script(&SLIDING_WINDOW, &[key], &args[..])
            .await?;
        Ok(Answer {
            taken,
            slot,
            wait,
            used,
        })
    }

    fn found(&self, partition: u16) {
        let mut away = self.since.lock();
        away.partitions.remove(&partition);
        self.away.store(away.partitions.len(), Relaxed);
        if !away.partitions.is_empty() {
            return;
        }
        if let Some(began) = away.since.take() {
            away.before += began.elapsed();
        }
        tracing::info!("rate limits are shared between instances again");
    }
}
