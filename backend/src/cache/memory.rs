//! The layer in the memory of an instance: bounded in bytes, and single flight.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache as Moka, notification::RemovalCause};
use rand::RngExt;

use super::versions::Stamp;

/// Bytes of values in memory, keys and the cache's own included.
const CAPACITY: u64 = 64 << 20;

/// What an entry takes beside its key and value, about: measured with users.
const OVERHEAD: usize = 300;

/// A value, or that there is none.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Option<Arc<dyn Any + Send + Sync>>,
    /// Of the moment before it was read.
    pub(super) stamp: Stamp,
    /// Of the value.
    pub(super) bytes: usize,
    pub(super) life: Duration,
}

pub(super) struct Memory {
    entries: Moka<String, Entry>,
    evicted: Arc<AtomicU64>,
}

/// A tenth earlier at most, so that what was read together doesn't expire together.
pub(super) fn jittered(life: Duration) -> Duration {
    life.mul_f64(rand::rng().random_range(0.9..1.0))
}

struct Jittered;

impl Expiry<String, Entry> for Jittered {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(jittered(entry.life))
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    pub(super) fn with_capacity(bytes: u64) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let counted = evicted.clone();
        let entries = Moka::builder()
            .max_capacity(bytes)
            .weigher(|key: &String, entry: &Entry| {
                let bytes = key.len() + entry.bytes + OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .expire_after(Jittered)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counted.fetch_add(1, Relaxed);
                }
            })
            .build();
        Self { entries, evicted }
    }

    pub(super) async fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).await
    }

    /// The entry of a key; without one that of `fill`, which is run once for all who ask meanwhile. If whoever runs it goes away,
    /// the next one does.
    pub(super) async fn get_or<E: Clone + Send + Sync + 'static>(
        &self,
        key: &str,
        fill: impl Future<Output = Result<Entry, E>>,
    ) -> Result<Entry, E> {
        let filled = self.entries.try_get_with_by_ref(key, fill).await;
        filled.map_err(|error| E::clone(&error))
    }

    pub(super) async fn remove(&self, key: &str) {
        self.entries.invalidate(key).await;
    }

    /// Takes in what was done since the last call: removes what expired, evicts what is too much.
    pub(super) async fn run_upkeep(&self) {
        self.entries.run_pending_tasks().await;
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.entry_count()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }
}
