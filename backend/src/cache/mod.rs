//! Values that are read often and change seldom: in the memory of each instance, and in Redis for all instances of a fleet.
//!
//! What must stay true:
//! - An invalidation wins over every read that began before it, on this instance and in Redis. After it, this instance doesn't
//!   return the old value, whatever Redis does.
//! - Redis is told before the other instances are, so that they don't find the old value there.
//! - A Redis that doesn't answer is a miss, never an error. What it couldn't be told it is told later, and until then isn't asked.
//!   The same goes for what it was told just before a connection to it was lost: whoever takes over may not know it.
//! - What may have been missed is known to be stale: a loss on the bus empties memory.

mod announcements;
mod counts;
mod kind;
mod memory;
mod pending;
mod shared;
#[cfg(test)]
mod tests;
mod versions;

use std::{sync::Arc, time::Duration};

use gateway::Hub;
use protocol::CacheInvalidated;
use rand::RngExt;
use redis_client::RedisClient;
use storage::StoreError;
use tokio::{sync::Notify, time::timeout};

use self::{
    announcements::Announcements,
    counts::Counts,
    memory::{Entry, Memory, jittered},
    pending::{Pending, PendingInvalidations},
    shared::{Found, Lease, SharedLayer},
    versions::{Stamp, Versions},
};
pub use self::{
    counts::CacheStats,
    kind::{Cached, Kind, Life},
};
use crate::{
    fleet::bus::{self, Bus, Lost, Malformed, Message, Reader, Receiver, Writer},
    topics,
    wire::frame_in,
};

/// A larger value isn't kept.
const LARGEST: usize = 256 << 10;

/// Reads of a value that is invalidated again and again; then it is read from the store and not kept.
const ATTEMPTS: usize = 3;

/// How often Redis is asked again while another instance reads the value from the store, and the time between. What takes longer is read
/// here as well.
const POLLS: usize = 4;
const POLL_EVERY: Duration = Duration::from_millis(25);

/// Invalidations of which Redis is told at once.
const BATCH: usize = 1_000;

/// Time until Redis is told again what it couldn't be told, and between two looks whether a connection to it was lost.
const RETRY: Duration = Duration::from_millis(250);

/// How often what expired is removed.
const UPKEEP: Duration = Duration::from_secs(5);

/// The cache of one instance.
pub struct Cache {
    memory: Memory,
    versions: Versions,
    /// Of a fleet.
    shared: Option<SharedLayer>,
    /// Invalidations that Redis and the other instances have yet to be told.
    pending: PendingInvalidations,
    new_pending: Notify,
    announcements: Announcements,
    counts: Counts,
    hub: Hub,
    bus: Arc<Bus>,
}

/// Who has to know of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// The instances.
    Instances,
    /// And the clients, as it concerns what they may see.
    Clients,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Invalidation {
    key: String,
    audience: Audience,
}

impl Message for Invalidation {
    fn kind(&self) -> bus::Kind {
        bus::Kind::CACHE_INVALIDATED
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(&self.key);
        fields.flag(self.audience == Audience::Clients);
    }
}

impl Invalidation {
    fn read(fields: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: fields.text()?.to_owned(),
            audience: if fields.flag()? {
                Audience::Clients
            } else {
                Audience::Instances
            },
        })
    }
}

impl Cache {
    /// The cache of a single instance.
    pub fn alone(hub: Hub, bus: Arc<Bus>) -> Self {
        Self::new(None, hub, bus)
    }

    /// That of one instance of a fleet, whose keys in `redis` begin with `key_prefix`.
    pub fn of_fleet(redis: RedisClient, key_prefix: &str, hub: Hub, bus: Arc<Bus>) -> Self {
        Self::new(Some(SharedLayer::new(redis, key_prefix)), hub, bus)
    }

    fn new(shared: Option<SharedLayer>, hub: Hub, bus: Arc<Bus>) -> Self {
        let losses = shared.as_ref().map_or(0, SharedLayer::losses);
        Self {
            memory: Memory::new(),
            versions: Versions::new(),
            shared,
            pending: PendingInvalidations::new(losses),
            new_pending: Notify::new(),
            announcements: Announcements::default(),
            counts: Counts::default(),
            hub,
            bus,
        }
    }

    /// The value of an id, or `None` if there is none. `load` reads it from the store, once for all who ask at the same time; it may be
    /// called again if the value is invalidated meanwhile.
    ///
    /// # Errors
    /// Those of `load`, which aren't kept.
    pub async fn get<T: Cached, F>(
        &self,
        id: &str,
        load: impl Fn() -> F,
    ) -> Result<Option<Arc<T>>, StoreError>
    where
        F: Future<Output = Result<Option<T>, StoreError>>,
    {
        let key = T::KIND.key(id);
        if let Some(entry) = self.memory.get(&key).await
            && self.versions.is_current(entry.stamp)
        {
            self.counts.memory_hits.add();
            return Ok(value_of(entry));
        }
        for _ in 0..ATTEMPTS {
            let entry = self.memory.get_or(&key, self.fill(&key, load())).await?;
            if self.versions.is_current(entry.stamp) {
                return Ok(value_of(entry));
            }
            self.memory.remove(&key).await;
        }
        self.counts.misses.add();
        Ok(self.load(load()).await?.map(Arc::new))
    }

    async fn load<T>(
        &self,
        load: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        let loaded = load.await;
        if loaded.is_err() {
            self.counts.loads_failed.add();
        }
        loaded
    }

    async fn fill<T: Cached>(
        &self,
        key: &str,
        load: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Entry, StoreError> {
        let stamp = self.versions.stamp(key);
        let lease = match self.shared_value::<T>(key, stamp).await {
            Ok(entry) => {
                self.counts.shared_hits.add();
                return Ok(entry);
            }
            Err(lease) => lease,
        };
        self.counts.misses.add();
        let loaded = self.load(load).await;
        let json = match &loaded {
            Ok(Some(value)) => serde_json::to_vec(value).ok(),
            _ => None,
        };
        let json = json.filter(|json| json.len() <= LARGEST && self.versions.is_current(stamp));
        let is_shareable = matches!(&loaded, Ok(Some(value)) if value.is_shareable());
        if let (Some(shared), Some(lease)) = (&self.shared, lease) {
            let written = match &json {
                Some(json) if is_shareable => {
                    shared
                        .write(lease, json, jittered(T::KIND.life().shared))
                        .await
                }
                _ => shared.give_back(lease).await,
            };
            if written.is_err() {
                self.counts.shared_errors.add();
            }
        }
        let life = T::KIND.life();
        Ok(match loaded? {
            None => Entry {
                value: None,
                stamp,
                bytes: 0,
                life: life.absence,
            },
            Some(value) => Entry {
                value: Some(Arc::new(value)),
                stamp,
                bytes: json.as_ref().map_or(LARGEST, Vec::len),
                // What is too large is for those who wait for it.
                life: json.map_or(Duration::ZERO, |_| life.memory),
            },
        })
    }

    /// What Redis has, or perhaps the right to write it.
    async fn shared_value<T: Cached>(
        &self,
        key: &str,
        stamp: Stamp,
    ) -> Result<Entry, Option<Lease>> {
        let shared = self.shared.as_ref().ok_or(None)?;
        for poll in 0..=POLLS {
            // It may still have what was invalidated.
            if self.is_pending(key) {
                return Err(None);
            }
            let found = shared.read(key).await;
            // The answer may be that of a server that has taken over.
            self.recall_after_loss(shared);
            if self.is_pending(key) {
                return Err(None);
            }
            match found {
                Ok(Found::Value(json)) => match serde_json::from_slice::<T>(&json) {
                    Ok(value) => {
                        return Ok(Entry {
                            value: Some(Arc::new(value)),
                            stamp,
                            bytes: json.len(),
                            life: T::KIND.life().memory,
                        });
                    }
                    // Of another version of the program.
                    Err(_) => return Err(None),
                },
                Ok(Found::Lease(lease)) => return Err(Some(lease)),
                Ok(Found::Busy) if poll < POLLS => {
                    let jitter = rand::rng().random_range(0.5..1.5);
                    tokio::time::sleep(POLL_EVERY.mul_f64(jitter)).await;
                }
                Ok(Found::Busy) => {}
                Err(_) => {
                    self.counts.shared_errors.add();
                    return Err(None);
                }
            }
        }
        Err(None)
    }

    /// The value of an id has changed in the store. This instance doesn't return the old one any more; Redis and the other
    /// instances are told in the background.
    pub fn invalidate(&self, kind: Kind, id: &str, audience: Audience) {
        let key = kind.key(id);
        if self.shared.is_some() {
            self.add_pending(&key, audience);
        }
        self.apply(&key, audience);
        self.new_pending.notify_one();
    }

    fn apply(&self, key: &str, audience: Audience) {
        self.counts.invalidations.add();
        self.versions.raise(key);
        if audience == Audience::Clients
            && let Some(kind) = Kind::of_key(key)
        {
            self.announcements.add(kind, key);
        }
    }

    fn add_pending(&self, key: &str, audience: Audience) {
        if !self.pending.add(key, audience) {
            self.counts.shared_errors.add();
        }
    }

    fn is_pending(&self, key: &str) -> bool {
        self.pending.contains(key)
    }

    /// After the loss of a connection, repeats the invalidations that Redis acknowledged just before.
    fn recall_after_loss(&self, shared: &SharedLayer) {
        let recalled = self.pending.recall(shared.losses());
        if recalled.is_empty() {
            return;
        }
        for (key, audience) in recalled {
            self.apply(&key, audience);
        }
        self.new_pending.notify_one();
    }

    /// Tells Redis, the other instances and the clients, for ever.
    pub async fn run(&self) {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.memory.run_upkeep().await;
            }
        };
        let telling = async {
            while self.shared.is_some() {
                // Either is a reason to look.
                drop(timeout(RETRY, self.new_pending.notified()).await);
                self.tell_pending().await;
            }
        };
        let announcing = async {
            loop {
                for key in self.announcements.next().await {
                    self.announce(key);
                }
            }
        };
        tokio::join!(upkeep, telling, announcing);
    }

    /// Tells Redis and the other instances of what waits at the end, for at most so long.
    pub async fn flush(&self, at_most: Duration) {
        if timeout(at_most, self.tell_pending()).await.is_err() {
            let left = self.pending.len();
            tracing::warn!(
                left,
                "Redis couldn't be told that cached values are outdated"
            );
        }
    }

    /// Tells Redis and then the other instances of the invalidations that wait, until none does.
    async fn tell_pending(&self) {
        let Some(shared) = &self.shared else { return };
        loop {
            self.recall_after_loss(shared);
            let waiting = self.pending.all();
            if waiting.is_empty() {
                return;
            }
            let mut failed = false;
            for batch in waiting.chunks(BATCH) {
                failed |= !self.tell(shared, batch).await;
            }
            if failed {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Says whether Redis knows all of them now.
    async fn tell(&self, shared: &SharedLayer, batch: &[(String, Pending)]) -> bool {
        let losses = shared.losses();
        let removed = shared
            .remove(batch.iter().map(|(key, _)| key.as_str()))
            .await;
        for ((key, pending), removed) in batch.iter().zip(&removed) {
            if removed.is_ok() {
                self.pending.remember(key, *pending);
            }
        }
        // It may have been whoever acknowledged them.
        let lost = shared.losses() != losses;
        let mut all = true;
        for ((key, pending), removed) in batch.iter().zip(removed) {
            let is_removed = removed.is_ok() && !lost;
            if is_removed {
                // Before Redis is asked again, so that what was read from it until now is outdated.
                self.versions.raise(key);
                self.pending.remove(key, *pending);
            } else {
                self.counts.shared_errors.add();
                all = false;
                self.pending.mark_told(key, *pending);
            }
            // Even without Redis, where they may be luckier; again afterwards.
            if is_removed || !pending.told {
                self.bus.send_to_all(&Invalidation {
                    key: key.clone(),
                    audience: pending.audience,
                });
            }
        }
        all
    }

    fn announce(&self, key: String) {
        let event = CacheInvalidated { key };
        if let Some(frame) = frame_in(topics::NOTIFICATIONS, &event) {
            self.counts.announced.add();
            let everybody = topics::everybody(topics::NOTIFICATIONS);
            self.hub.publish(&everybody, &frame.volatile());
        }
    }

    /// What was counted.
    pub fn stats(&self) -> CacheStats {
        let counts = &self.counts;
        CacheStats {
            memory_hits: counts.memory_hits.get(),
            shared_hits: counts.shared_hits.get(),
            misses: counts.misses.get(),
            loads_failed: counts.loads_failed.get(),
            invalidations: counts.invalidations.get(),
            shared_errors: counts.shared_errors.get(),
            announced: counts.announced.get(),
            evicted: self.memory.evicted(),
            entries: self.memory.entries(),
            bytes: self.memory.bytes(),
            pending: self.pending.len() as u64,
        }
    }
}

impl Receiver for Cache {
    fn kinds(&self) -> &'static [bus::Kind] {
        &[bus::Kind::CACHE_INVALIDATED]
    }

    fn receive(&self, _: &str, _: bus::Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        let Invalidation { key, audience } = Invalidation::read(&mut fields)?;
        self.apply(&key, audience);
        Ok(())
    }

    fn interrupted(&self, lost: &Lost<'_>) {
        if lost.includes_everybody() {
            self.versions.raise_all();
            self.announcements.add_all();
        }
    }
}

/// The value of an entry, whose type its key says.
fn value_of<T: Cached>(entry: Entry) -> Option<Arc<T>> {
    entry.value.and_then(|value| value.downcast().ok())
}
