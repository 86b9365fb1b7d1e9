//! The live instances of a fleet: each holds a lease in Redis, and one whose lease has expired is no longer live.
//!
//! What must stay true: no two live instances have the same id. Renewing the lease and learning of the others is one
//! call, so whoever is alive knows who else is. An instance accepts clients once the others know of it: a request of one
//! of its clients may arrive at any of them.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use gateway::{InstanceId, Peers};
use parking_lot::Mutex;
use redis_client::{RedisClient, RedisError, Script, partition_of, tag};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};

use super::bus::{BUS_VERSION, Bus, Kind, Lost, Malformed, Message, Reader, Receiver, Writer};

/// How long an instance counts as live after it renewed its lease. With the time until others notice, the users of a
/// killed one are offline within 10 s.
const LEASE: Duration = Duration::from_secs(7);
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How long a new instance waits until the others know of it: whoever is alive and reaches Redis renews its lease, and
/// learns of it, within less.
const INTRODUCTION: Duration = Duration::from_secs(3);

/// Between two questions whether they do; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("instances_renew.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("instances_release.lua")));

/// One live instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id, with which its sids begin.
    pub id: InstanceId,
    /// The address of its internal listener.
    pub address: SocketAddr,
    /// The newest version of the bus that it knows.
    pub bus_version: u8,
}

/// An instance as the registry holds it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    /// Of this run: an id that somebody else holds isn't ours.
    boot: String,
    address: SocketAddr,
    bus_version: u8,
}

/// The registry of live instances. Cloning shares it.
#[derive(Clone)]
pub struct Instances(Arc<Inner>);

struct Inner {
    own: Instance,
    boot: String,
    live: watch::Sender<Arc<[Instance]>>,
    /// How often the lease had to be claimed again.
    reclaimed: watch::Sender<u64>,
    registry: Option<Registry>,
    bus: Arc<Bus>,
    peers: Peers,
}

struct Registry {
    client: RedisClient,
    keys: [String; 3],
    claims: Mutex<Claims>,
    joined: Notify,
}

/// Claims of leases, numbered in the order in which they were made.
#[derive(Default, Clone, Copy)]
struct Claims {
    /// That of this instance.
    own: u64,
    /// The last one that this instance knows of.
    last: u64,
}

/// The outcome of renewing the lease.
struct Renewed {
    /// The lease had expired or Redis lost it. Redis may have lost other data of this instance as well.
    reclaimed: bool,
    /// The last claim that all others who accept clients know of.
    known_to_others: u64,
    /// The registry doesn't know yet what this instance knows.
    is_news: bool,
}

/// Sent to all instances by one that has claimed its lease.
struct Joined;

impl Message for Joined {
    fn kind(&self) -> Kind {
        Kind::INSTANCE_JOINED
    }

    fn write(&self, _: &mut Writer<'_>) {}
}

/// Why the lease wasn't renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// Another live instance has our id.
    #[error("another instance has the id {0}; start again to get another one")]
    Taken(InstanceId),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// An entry that no known version writes.
    #[error("the registry of instances can't be read: {0}")]
    Unreadable(String),
}

impl Instances {
    /// A single instance.
    pub fn alone(own: InstanceId) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let bus = Arc::new(Bus::in_process());
        Self::new(own, address, None, bus, Peers::default())
    }

    /// One instance of a fleet, whose internal listener is at `address`. Tells `bus` and `peers` of the others.
    pub fn of_fleet(
        own: InstanceId,
        address: SocketAddr,
        client: RedisClient,
        prefix: &str,
        bus: Arc<Bus>,
        peers: Peers,
    ) -> Self {
        let tag = tag(partition_of("instances"));
        let key = |name: &str| format!("{{{tag}}}{prefix}:instances:{name}");
        let registry = Registry {
            client,
            keys: ["leases", "entries", "claims"].map(key),
            claims: Mutex::default(),
            joined: Notify::new(),
        };
        Self::new(own, address, Some(registry), bus, peers)
    }

    fn new(
        own: InstanceId,
        address: SocketAddr,
        registry: Option<Registry>,
        bus: Arc<Bus>,
        peers: Peers,
    ) -> Self {
        let own = Instance {
            id: own,
            address,
            bus_version: BUS_VERSION,
        };
        Self(Arc::new(Inner {
            live: watch::Sender::new([own.clone()].into()),
            reclaimed: watch::Sender::new(0),
            own,
            boot: format!("{:032x}", rand::random::<u128>()),
            registry,
            bus,
            peers,
        }))
    }

    /// This instance's id.
    pub fn own(&self) -> InstanceId {
        self.0.own.id
    }

    /// The live instances, including this one. While Redis is away, those that were live when it was last there.
    pub fn live(&self) -> Arc<[Instance]> {
        self.0.live.borrow().clone()
    }

    /// Is notified when instances come and go.
    pub fn changes(&self) -> watch::Receiver<Arc<[Instance]>> {
        self.0.live.subscribe()
    }

    /// Is notified when this instance had to claim its lease again: Redis may have lost what it had written.
    pub fn reclaims(&self) -> watch::Receiver<u64> {
        self.0.reclaimed.subscribe()
    }

    /// Claims the id, or renews the claim, and learns of the other live instances.
    ///
    /// # Errors
    /// If Redis is away or another instance has the id.
    pub async fn join(&self) -> Result<(), RenewError> {
        match &self.0.registry {
            None => Ok(()),
            Some(registry) => self.renew(registry, false).await.map(drop),
        }
    }

    /// Returns once every instance that accepts clients knows of this one, which has joined: then this one may accept some.
    /// An instance that doesn't renew its lease meanwhile is waited for no longer than three seconds.
    pub async fn introduce(&self) {
        self.announce();
        let Some(registry) = &self.0.registry else {
            return;
        };
        let end = Instant::now() + INTRODUCTION;
        let mut pause = FIRST_PAUSE;
        while Instant::now() < end {
            match self.renew_and_announce(registry).await {
                Ok(renewed) if renewed.known_to_others >= registry.claims.lock().own => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the other instances couldn't be asked"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!("an instance that was killed or can't reach Redis doesn't know of this one");
    }

    /// Renews the lease, for ever. Does nothing on a single instance.
    pub async fn run(&self) {
        let Some(registry) = &self.0.registry else {
            return;
        };
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = registry.joined.notified() => {}
            }
            loop {
                match self.renew_and_announce(registry).await {
                    // Whoever joins waits for this.
                    Ok(Renewed { is_news: true, .. }) => continue,
                    Ok(_) => {}
                    Err(error @ RenewError::Redis(_)) => {
                        tracing::debug!(%error, "the lease of this instance couldn't be renewed");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the lease of this instance couldn't be renewed")
                    }
                }
                break;
            }
        }
    }

    async fn renew_and_announce(&self, registry: &Registry) -> Result<Renewed, RenewError> {
        let before = self.live();
        let renewed = self.renew(registry, true).await?;
        if renewed.reclaimed {
            tracing::info!("the lease of this instance was claimed again");
            self.0.reclaimed.send_modify(|times| *times += 1);
        }
        if self.live() != before {
            self.announce();
        }
        Ok(renewed)
    }

    /// Tells everybody concerned which instances are live.
    fn announce(&self) {
        let live = self.live();
        tracing::info!(instances = live.len(), "the live instances");
        if let Some(link) = self.0.bus.link() {
            let lowest = live.iter().map(|instance| instance.bus_version).min();
            link.write_version(lowest.unwrap_or(BUS_VERSION));
        }
        self.0.peers.set(
            live.iter()
                .filter(|instance| instance.id != self.own())
                .map(|instance| (instance.id, instance.address))
                .collect(),
        );
        // After the peers are known.
        self.0.live.send_modify(|_| {});
    }

    /// Releases the lease, so that the others know at once.
    pub async fn leave(&self) {
        let Some(Registry { client, keys, .. }) = &self.0.registry else {
            return;
        };
        let arguments = (self.own().to_string(), self.0.boot.as_str());
        if let Err(error) = client.script::<i64>(&RELEASE, keys, arguments).await {
            tracing::debug!(%error, "the lease of this instance will expire by itself");
        }
    }

    async fn renew(&self, registry: &Registry, accepts: bool) -> Result<Renewed, RenewError> {
        let Registry { client, keys, .. } = registry;
        let known = registry.claims.lock().last;
        let entry = Entry {
            id: self.own().to_string(),
            boot: self.0.boot.clone(),
            address: self.0.own.address,
            bus_version: self.0.own.bus_version,
        };
        let unreadable = |error: serde_json::Error| RenewError::Unreadable(error.to_string());
        let arguments = (
            self.own().to_string(),
            self.0.boot.as_str(),
            serde_json::to_string(&entry).map_err(unreadable)?,
            LEASE.as_millis() as u64,
            if accepts {
                known.to_string()
            } else {
                String::new()
            },
        );
        let (outcome, entries, last, known_to_others): (String, Vec<String>, u64, u64) =
            client.script(&RENEW, keys, arguments).await?;
        let reclaimed = match outcome.as_str() {
            "kept" => false,
            "anew" => true,
            _ => return Err(RenewError::Taken(self.own())),
        };
        let mut live = Vec::with_capacity(entries.len());
        for entry in entries {
            let entry: Entry = serde_json::from_str(&entry).map_err(unreadable)?;
            let id = entry.id.parse();
            live.push(Instance {
                id: id.map_err(|_| RenewError::Unreadable(format!("id {:?}", entry.id)))?,
                address: entry.address,
                bus_version: entry.bus_version,
            });
        }
        live.sort_by_key(|instance| instance.id.to_string());
        self.0.live.send_if_modified(|known| {
            *known = live.into();
            // Announced by the caller.
            false
        });
        {
            let mut claims = registry.claims.lock();
            claims.last = last;
            if reclaimed {
                claims.own = last;
            }
        }
        if reclaimed {
            self.0.bus.send_to_all(&Joined);
        }
        Ok(Renewed {
            reclaimed,
            known_to_others,
            is_news: reclaimed || known != last,
        })
    }
}

impl Receiver for Instances {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::INSTANCE_JOINED]
    }

    fn receive(&self, _: &str, _: Kind, _: Reader<'_>) -> Result<(), Malformed> {
        if let Some(registry) = &self.0.registry {
            registry.joined.notify_one();
        }
        Ok(())
    }

    fn interrupted(&self, _: &Lost<'_>) {
        // The next renewal tells of whoever joined.
    }
}
