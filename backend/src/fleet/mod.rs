//! What differs between a single instance and one of a fleet. Nothing is waited for in here: every client of a service
//! connects by itself, in the background.

pub mod bus;
pub mod instances;
pub mod startup;

use std::{net::SocketAddr, sync::Arc};

use gateway::{InstanceId, Peers};
use redis_client::{Options, RedisClient, Subscriber};
use storage::{AuditStore, MessageStore, ObjectStore, OpenError, Postgres, Sessions, Sql};

use self::{
    bus::{Bus, Link, LinkTasks},
    instances::Instances,
};
use crate::{
    audit::{Audit, AuditParts, StreamParts, counts::Counts},
    auth::signing_secret::SigningSecret,
    circuits::Circuits,
    config::{Config, FleetConfig},
    jobs::Jobs,
    limits::Limits,
    metrics::Metrics,
};

/// Messages of other instances that wait to be handled; beyond that they are lost, which is reported.
const INCOMING: usize = 65_536;

/// The uses of Redis, as health and metrics name them.
pub const REDIS: &str = "redis";
/// For sessions.
pub const REDIS_SESSIONS: &str = "redis_sessions";
/// For rate limits.
pub const REDIS_RATE_LIMITS: &str = "redis_rate_limits";

/// For the audit log.
pub const REDIS_AUDIT: &str = "redis_audit";

/// The back ends of one instance.
pub struct BackEnds {
    /// Everything durable but sessions.
    pub store: MessageStore,
    /// The sessions' store.
    pub sessions: Sessions,
    /// The bus between instances.
    pub bus: Arc<Bus>,
    /// The live instances.
    pub instances: Instances,
    /// Where the gateway finds the other instances.
    pub peers: Peers,
    /// The circuit breakers of remote dependencies.
    pub circuits: Circuits,
    /// Rate limits.
    pub limits: Limits,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// What is relational, unless a fleet keeps none of it.
    pub sql: Option<Sql>,
    /// What people upload, unless a fleet has no bucket for it.
    pub objects: Option<ObjectStore>,
    /// What is done later; likewise.
    pub jobs: Option<Jobs>,
    /// Of an instance of a fleet.
    pub fleet: Option<Fleet>,
}

/// What only an instance of a fleet has.
pub struct Fleet {
    /// For everything but sessions, rate limits and the audit log.
    pub redis: RedisClient,
    /// For sessions.
    pub redis_sessions: RedisClient,
    /// For rate limits.
    pub redis_rate_limits: RedisClient,
    /// For the audit log, if there is one.
    pub redis_audit: Option<RedisClient>,
    /// What keys begin with, behind their tag.
    pub redis_prefix: String,
    /// For what is relational, if that is kept.
    pub postgres: Option<Postgres>,
    /// The tasks of the bus.
    pub link_tasks: LinkTasks,
}

impl Fleet {
    /// The clients of Redis by their use; each may have a server of its own.
    pub fn redis_by_use(&self) -> Vec<(&'static str, RedisClient)> {
        let mut clients = vec![
            (REDIS, self.redis.clone()),
            (REDIS_SESSIONS, self.redis_sessions.clone()),
            (REDIS_RATE_LIMITS, self.redis_rate_limits.clone()),
        ];
        clients.extend(self.redis_audit.clone().map(|client| (REDIS_AUDIT, client)));
        clients
    }
}

impl BackEnds {
    /// Those of a single instance: everything in its data directory.
    ///
    /// # Errors
    /// If the directory can't be used.
    pub async fn embedded(config: &Config, metrics: &Metrics) -> Result<Self, OpenError> {
        let store = MessageStore::open(&config.data_dir).await?;
        let audit_store = match AuditStore::open(&config.data_dir).await {
            Ok(opened) => opened,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let sql = match Sql::open(&config.data_dir).await {
            Ok(opened) => opened,
            Err(error) => {
                store.close().await;
                audit_store.close().await;
                return Err(error);
            }
        };
        let objects = match open_objects(config).await {
            Ok(opened) => opened,
            Err(error) => {
                store.close().await;
                audit_store.close().await;
                sql.close().await;
                return Err(error);
            }
        };
        #[expect(clippy::expect_used, reason = "a store in a directory is embedded")]
        let sessions = Sessions::embedded(&store).expect("the store is embedded");
        let own = InstanceId::random();
        Ok(Self {
            sessions,
            store,
            bus: Arc::new(Bus::in_process()),
            audit: Arc::new(Audit::embedded(AuditParts {
                instance: own.to_string(),
                store: audit_store,
                counts: Counts::new(metrics.audit_batch_seconds()),
                retention_days: config.audit.retention_days,
            })),
            instances: Instances::alone(own),
            peers: Peers::default(),
            circuits: Circuits::alone(config.circuits.clone()),
            limits: Limits::in_memory(&config.rate_limits),
            jobs: Some(Jobs::new(sql.clone(), None)?),
            sql: Some(sql),
            objects: Some(objects),
            fleet: None,
        })
    }

    /// Those of an instance of a fleet, whose internal listener is at `address`.
    ///
    /// # Errors
    /// If the address of MongoDB is malformed.
    pub async fn of_fleet(
        all: &Config,
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
        let redis = RedisClient::new(config.redis_url.clone(), options("main", REDIS));
        let redis_sessions = RedisClient::new(
            config.session_url.clone(),
            options("sessions", REDIS_SESSIONS),
        );
        let redis_rate_limits = RedisClient::new(
            config.rate_limit_url.clone(),
            options("rate limits", REDIS_RATE_LIMITS),
        );
        let own = InstanceId::random();
        let subscriber = Subscriber::new(
            config.redis_url.clone(),
            config.redis_options("bus"),
            INCOMING,
        );
        let (link, link_tasks) = Link::new(redis.clone(), subscriber, secret, own, prefix);
        let store = MessageStore::connect(config.store(&redis)).await?;
        let postgres = open_postgres(config, metrics)?;
        let (audit, redis_audit) = match &postgres {
            Some(postgres) => {
                // A connection of its own: a burst of entries mustn't delay messages.
                let client =
                    RedisClient::new(config.redis_url.clone(), options("audit", REDIS_AUDIT));
                let audit = fleet_audit(all, config, postgres, client.clone(), own, metrics)?;
                (audit, Some(client))
            }
            None => (Audit::off(), None),
        };
        let bus = Arc::new(Bus::redis(link));
        let peers = Peers::new(secret.key_for("internal routes"));
        Ok(Self {
            store,
            sessions: Sessions::redis(redis_sessions.clone(), prefix),
            instances: Instances::of_fleet(
                own,
                address,
                redis.clone(),
                prefix,
                bus.clone(),
                peers.clone(),
            ),
            circuits: Circuits::of_fleet(all.circuits.clone(), redis.clone(), prefix, bus.clone()),
            limits: Limits::redis(
                &all.rate_limits,
                redis_rate_limits.clone(),
                prefix,
                bus.clone(),
            ),
            bus,
            peers,
            audit: Arc::new(audit),
            jobs: fleet_jobs(all, postgres.clone())?,
            sql: postgres.clone().map(Sql::postgres),
            objects: bucket(all)?,
            fleet: Some(Fleet {
                redis,
                redis_sessions,
                redis_rate_limits,
                redis_audit,
                redis_prefix: prefix.to_owned(),
                postgres,
                link_tasks,
            }),
        })
    }
}

/// The bucket, or a directory beside what else is kept.
async fn open_objects(config: &Config) -> Result<ObjectStore, OpenError> {
    match bucket(config)? {
        Some(bucket) => Ok(bucket),
        None => ObjectStore::local(config.data_dir.join("objects")).await,
    }
}

/// `None` if there is none; of a fleet, which nothing can be uploaded to then, this is said once.
fn bucket(config: &Config) -> Result<Option<ObjectStore>, OpenError> {
    let Some(s3) = &config.media.s3 else {
        if config.fleet.is_some() {
            tracing::info!("S3_BUCKET isn't set: nothing can be uploaded to this fleet");
        }
        return Ok(None);
    };
    let opened = ObjectStore::s3(s3);
    opened
        .map(Some)
        .map_err(|error| OpenError::Address(error.to_string()))
}

/// `None` if nothing relational is kept, which is said once.
fn open_postgres(config: &FleetConfig, metrics: &Metrics) -> Result<Option<Postgres>, OpenError> {
    let Some(config) = &config.postgres else {
        tracing::info!(
            "DATABASE_URL isn't set: this fleet keeps nothing relational, such as the audit log"
        );
        return Ok(None);
    };
    let postgres = Postgres::connect(config.clone())?;
    postgres.observe(metrics.postgres_observer());
    Ok(Some(postgres))
}

fn fleet_jobs(all: &Config, postgres: Option<Postgres>) -> Result<Option<Jobs>, OpenError> {
    let jobs = |postgres| Jobs::new(Sql::postgres(postgres), all.jobs.broker.as_ref());
    postgres.map(jobs).transpose()
}

fn fleet_audit(
    all: &Config,
    config: &FleetConfig,
    postgres: &Postgres,
    redis: RedisClient,
    own: InstanceId,
    metrics: &Metrics,
) -> Result<Audit, OpenError> {
    let parts = AuditParts {
        instance: own.to_string(),
        store: AuditStore::postgres(postgres.clone()),
        counts: Counts::new(metrics.audit_batch_seconds()),
        retention_days: all.audit.retention_days,
    };
    let streams = StreamParts {
        redis,
        prefix: &config.redis_prefix,
        spool: &all.audit.spool_dir,
        spool_max_bytes: all.audit.spool_max_bytes,
    };
    Audit::of_fleet(parts, streams).map_err(|source| OpenError::Directory {
        path: all.audit.spool_dir.clone(),
        source,
    })
}
