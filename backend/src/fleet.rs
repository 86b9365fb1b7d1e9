//! The components of a server that is one of a fleet, from its configuration. Nothing is waited for in here: every
//! client of a service connects by itself, in the background.

use std::net::SocketAddr;

use gateway::{InstanceId, Peers};
use redis_client::{Options, RedisClient, Subscriber};
use storage::{MessageStore, OpenError, Sessions};

use crate::{
    bus::{Bus, Link, Traffic},
    chat::{blocked_rooms::BlockedRooms, presence::Presence, presence_sets::PresenceSets},
    config::{Config, FleetConfig},
    http::health::{Checks, MAIN, RATE_LIMITS, SESSIONS},
    instances::Instances,
    limits::Limits,
    operations::Metrics,
    server::StartError,
    signing_secret::SigningSecret,
};

/// Messages of other instances that wait to be taken; beyond that they are lost, which is told.
const INCOMING: usize = 65_536;

/// What differs between a server that is alone and one of a fleet; the fields are those of [`App`](crate::app::App).
#[expect(missing_docs, reason = "as there")]
pub struct Parts {
    pub store: MessageStore,
    pub sessions: Sessions,
    pub bus: Bus,
    pub instances: Instances,
    pub peers: Peers,
    pub presence: Presence,
    pub blocked_rooms: BlockedRooms,
    pub limits: Limits,
    /// What health is made of.
    pub checks: Checks,
    /// What of a fleet has to run.
    pub fleet: Option<Fleet>,
}

/// What has to run in a server of a fleet.
pub struct Fleet {
    /// Whose answers are waited for before clients are taken.
    pub redis: RedisClient,
    /// The bus.
    pub traffic: Traffic,
}

impl Parts {
    /// Those of a server that is alone: everything in its data directory.
    ///
    /// # Errors
    /// If the directory can't be used.
    pub async fn alone(config: &Config) -> Result<(Self, SigningSecret), StartError> {
        let store = MessageStore::open(&config.data_dir).await?;
        let secret = match SigningSecret::open(config) {
            Ok(secret) => secret,
            Err(error) => {
                store.close().await;
                return Err(error.into());
            }
        };
        let Some(sessions) = Sessions::embedded(&store) else {
            return Err(StartError::Internal("the store isn't embedded".into()));
        };
        let blocked_rooms = match BlockedRooms::alone(&store).await {
            Ok(blocked_rooms) => blocked_rooms,
            Err(error) => {
                store.close().await;
                return Err(StartError::Blocks(error));
            }
        };
        let parts = Self {
            checks: Checks::default(),
            blocked_rooms,
            sessions,
            store,
            bus: Bus::in_process(),
            instances: Instances::alone(InstanceId::random()),
            peers: Peers::default(),
            presence: Presence::new(None),
            limits: Limits::in_memory(),
            fleet: None,
        };
        Ok((parts, secret))
    }

    /// Those of one of a fleet.
    ///
    /// # Errors
    /// If the address of MongoDB is malformed.
    pub async fn of_fleet(
        config: &FleetConfig,
        secret: &SigningSecret,
        address: SocketAddr,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let options = |name, purpose| Options {
            latency: metrics.redis_latency(purpose),
            ..config.redis_options(name)
        };
        let prefix = config.redis_prefix.as_str();
        let redis = RedisClient::new(config.redis_url.clone(), options("main", MAIN));
        let redis_sessions =
            RedisClient::new(config.session_url.clone(), options("sessions", SESSIONS));
        let redis_rate_limits = RedisClient::new(
            config.rate_limit_url.clone(),
            options("rate limits", RATE_LIMITS),
        );
        let own = InstanceId::random();
        let subscriber = Subscriber::new(
            config.redis_url.clone(),
            config.redis_options("bus"),
            INCOMING,
        );
        let (link, traffic) = Link::new(redis.clone(), subscriber, secret, own, prefix);
        let store = MessageStore::connect(config.store(&redis)).await?;
        Ok(Self {
            store,
            sessions: Sessions::redis(redis_sessions.clone(), prefix),
            bus: Bus::redis(link),
            instances: Instances::of_fleet(own, address, redis.clone(), prefix),
            peers: Peers::new(secret.key_for("internal routes")),
            limits: Limits::redis(redis_rate_limits.clone(), prefix),
            presence: Presence::new(Some(PresenceSets::new(redis.clone(), prefix))),
            blocked_rooms: BlockedRooms::of_fleet(),
            checks: Checks::of_fleet(&redis, &redis_sessions, &redis_rate_limits),
            fleet: Some(Fleet { redis, traffic }),
        })
    }
}
