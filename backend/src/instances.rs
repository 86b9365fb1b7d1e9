//! The instances of a fleet: each holds a lease in Redis, and whoever's lease has ended is no more.
//!
//! What must stay true: no two live instances have the same id. Renewing the lease and learning of the others is one
//! call, so whoever is alive knows who else is.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use gateway::InstanceId;
use parking_lot::RwLock;
use redis_client::{RedisClient, RedisError, Script, partition_of, tag};
use serde::{Deserialize, Serialize};

use crate::{app::SharedApp, bus::BUS_VERSION};

/// How long an instance counts as alive after its last sign: with the time until others look, a killed one's users are
/// offline within 10 s.
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
    /// Where its internal listener is reached.
    pub address: SocketAddr,
    /// The newest version of the bus that it writes.
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

/// The instances that live now.
pub struct Instances {
    own: Instance,
    boot: String,
    live: RwLock<Arc<[Instance]>>,
    registry: Option<Registry>,
}

struct Registry {
    client: RedisClient,
    keys: [String; 2],
}

/// What became of renewing the lease.
enum Renewed {
    /// It was still ours.
    Kept,
    /// It had ended, or Redis has lost it: so may it have lost other things that we said.
    Anew,
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
    /// An entry that no version we know writes.
    #[error("the registry of instances can't be read: {0}")]
    Unreadable(String),
}

impl Instances {
    /// A server that is alone.
    pub fn alone(own: InstanceId) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::new(own, address, None)
    }

    /// One of a fleet, whose internal listener is reached at `address`.
    pub fn of_fleet(
        own: InstanceId,
        address: SocketAddr,
        client: RedisClient,
        prefix: &str,
    ) -> Self {
        let tag = tag(partition_of("instances"));
        let key = |name: &str| format!("{{{tag}}}{prefix}:instances:{name}");
        let keys = [key("leases"), key("entries")];
        Self::new(own, address, Some(Registry { client, keys }))
    }

    fn new(own: InstanceId, address: SocketAddr, registry: Option<Registry>) -> Self {
        let own = Instance {
            id: own,
            address,
            bus_version: BUS_VERSION,
        };
        Self {
            live: RwLock::new([own.clone()].into()),
            own,
            boot: format!("{:032x}", rand::random::<u128>()),
            registry,
        }
    }

    /// This instance's id.
    pub fn own(&self) -> InstanceId {
        self.own.id
    }

    /// The instances that live, this one among them. While Redis is away, those that lived when it was last there.
    pub fn live(&self) -> Arc<[Instance]> {
        self.live.read().clone()
    }

    /// Claims the id, or renews the claim, and learns who else lives.
    ///
    /// # Errors
    /// If Redis is away or another instance has the id.
    pub async fn join(&self) -> Result<(), RenewError> {
        match &self.registry {
            None => Ok(()),
            Some(registry) => self.renew(registry).await.map(drop),
        }
    }

    /// Renews the lease for ever, and makes it felt when instances come and go.
    pub async fn run(&self, app: &SharedApp) {
        let Some(registry) = &self.registry else {
            return;
        };
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let before = self.live();
            match self.renew(registry).await {
                Ok(renewed) => {
                    if let Renewed::Anew = renewed {
                        tracing::info!("the lease of this instance was made anew");
                        app.presence.say_again();
                    }
                    if self.live() != before {
                        self.changed(app);
                    }
                }
                Err(error @ RenewError::Redis(_)) => {
                    tracing::debug!(%error, "the lease of this instance isn't renewed");
                }
                Err(error) => tracing::error!(%error, "the lease of this instance isn't renewed"),
            }
        }
    }

    fn changed(&self, app: &SharedApp) {
        let live = self.live();
        tracing::info!(instances = live.len(), "instances came or went");
        self.make_known(app);
        app.presence.doubt_all();
    }

    /// Tells the bus and the gateway who lives.
    pub fn make_known(&self, app: &SharedApp) {
        let live = self.live();
        if let Some(link) = app.bus.link() {
            let lowest = live.iter().map(|instance| instance.bus_version).min();
            link.write_version(lowest.unwrap_or(BUS_VERSION));
        }
        app.peers.set(
            live.iter()
                .filter(|instance| instance.id != self.own.id)
                .map(|instance| (instance.id, instance.address))
                .collect(),
        );
    }

    /// Gives the lease back, so that the others know at once.
    pub async fn leave(&self) {
        let Some(Registry { client, keys }) = &self.registry else {
            return;
        };
        let arguments = (self.own.id.to_string(), self.boot.as_str());
        if let Err(error) = client.script::<i64>(&RELEASE, keys, arguments).await {
            tracing::debug!(%error, "the lease of this instance ends by itself");
        }
    }

    async fn renew(&self, registry: &Registry) -> Result<Renewed, RenewError> {
        let Registry { client, keys } = registry;
        let entry = Entry {
            id: self.own.id.to_string(),
            boot: self.boot.clone(),
            address: self.own.address,
            bus_version: self.own.bus_version,
        };
        let unreadable = |error: serde_json::Error| RenewError::Unreadable(error.to_string());
        let arguments = (
            self.own.id.to_string(),
            self.boot.as_str(),
            serde_json::to_string(&entry).map_err(unreadable)?,
            LEASE.as_millis() as u64,
        );
        let (outcome, entries): (String, Vec<String>) =
            client.script(&RENEW, keys, arguments).await?;
        let renewed = match outcome.as_str() {
            "kept" => Renewed::Kept,
            "anew" => Renewed::Anew,
            _ => return Err(RenewError::Taken(self.own.id)),
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
        *self.live.write() = live.into();
        Ok(renewed)
    }
}
