//! The live instances of a fleet: each holds a lease in Redis, and one whose lease has expired is no longer live.
//!
//! What must stay true: no two live instances have the same id. Renewing the lease and learning of the others is one
//! call, so whoever is alive knows who else is.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use gateway::{InstanceId, Peers};
use redis_client::{RedisClient, RedisError, Script, partition_of, tag};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::bus::{BUS_VERSION, Bus};

/// How long an instance counts as live after it renewed its lease. With the time until others notice, the users of a
/// killed one are offline within 10 s.
const LEASE: Duration = Duration::from_secs(7);
const RENEW_EVERY: Duration = Duration::from_secs(2);

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
    keys: [String; 2],
}

/// The outcome of renewing the lease.
enum Renewed {
    /// It was still ours.
    Kept,
    /// It had expired or Redis lost it. Redis may have lost other data of this instance as well.
    Reclaimed,
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
        let keys = [key("leases"), key("entries")];
        let registry = Registry { client, keys };
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
            Some(registry) => self.renew(registry).await.map(drop),
        }
    }

    /// Renews the lease, for ever. Does nothing on a single instance.
    pub async fn run(&self) {
        let Some(registry) = &self.0.registry else {
            return;
        };
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let before = self.live();
            match self.renew(registry).await {
                Ok(renewed) => {
                    if let Renewed::Reclaimed = renewed {
                        tracing::info!("the lease of this instance was claimed again");
                        self.0.reclaimed.send_modify(|times| *times += 1);
                    }
                    if self.live() != before {
                        self.announce();
                    }
                }
                Err(error @ RenewError::Redis(_)) => {
                    tracing::debug!(%error, "the lease of this instance couldn't be renewed");
                }
                Err(error) => {
                    tracing::error!(%error, "the lease of this instance couldn't be renewed")
                }
            }
        }
    }

    /// Tells everybody concerned which instances are live.
    pub fn announce(&self) {
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
        let Some(Registry { client, keys }) = &self.0.registry else {
            return;
        };
        let arguments = (self.own().to_string(), self.0.boot.as_str());
        if let Err(error) = client.script::<i64>(&RELEASE, keys, arguments).await {
            tracing::debug!(%error, "the lease of this instance will expire by itself");
        }
    }

    async fn renew(&self, registry: &Registry) -> Result<Renewed, RenewError> {
        let Registry { client, keys } = registry;
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
        );
        let (outcome, entries): (String, Vec<String>) =
            client.script(&RENEW, keys, arguments).await?;
        let renewed = match outcome.as_str() {
            "kept" => Renewed::Kept,
            "anew" => Renewed::Reclaimed,
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
        Ok(renewed)
    }
}
