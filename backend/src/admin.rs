//! Administration from the command line: on the data directory of a single instance, which must not be running, or on the
//! database of a fleet.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use gateway::{InstanceId, Peers};
pub use protocol::DeadJobAction;
use protocol::{ApiKeyId, AuditOutcome, CreateApiKey, Request, Role, Secret};
use redis_client::RedisClient;
use storage::{
    AuditStore, DEAD_JOBS_SETTLED, DeadJob, JobStore, MessageStore, OpenError, Postgres, Sql,
    StoreError, StoredApiKey, causes,
};

use crate::{
    audit::record::Record,
    config::{Config, FleetConfig},
    fleet::{
        bus::Bus,
        instances::{Instances, RenewError},
    },
    publish::api_keys,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The data directory can't be opened, since a running server has it to itself; or the address of the database is
    /// malformed.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// Nobody has this name.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// What was asked for is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Instances run that must not.
    #[error("stop the other instances first: {0} are running")]
    Running(usize),
    /// Whether instances run can't be found out.
    #[error("whether instances are running isn't known: {0}")]
    Registry(#[from] RenewError),
    /// It was done, but isn't in the audit log.
    #[error("done, but not recorded in the audit log: {0}")]
    Unrecorded(String),
    /// The store.
    #[error("{error}{}", causes(.error))]
    Store {
        /// Its own words.
        #[from]
        error: StoreError,
    },
}

/// The store of a configuration, for one command.
struct Opened {
    store: MessageStore,
    /// Of a fleet.
    redis: Option<RedisClient>,
}

impl Opened {
    async fn new(config: &Config) -> Result<Self, OpenError> {
        let Some(fleet) = &config.fleet else {
            return Ok(Self {
                store: MessageStore::open(&config.data_dir).await?,
                redis: None,
            });
        };
        let redis = RedisClient::new(fleet.redis_url.clone(), fleet.redis_options("main"));
        Ok(Self {
            store: MessageStore::connect(fleet.store(&redis)).await?,
            redis: Some(redis),
        })
    }

    async fn close<T>(self, outcome: Result<T, AdminError>) -> Result<T, AdminError> {
        self.store.close().await;
        outcome
    }
}

/// Makes the user of this name an administrator, who has to sign in again to become one.
///
/// # Errors
/// If a server is running on the directory, the database isn't reached, or nobody has this name.
pub async fn grant(config: &Config, username: &str) -> Result<(), AdminError> {
    let opened = Opened::new(config).await?;
    let granted = async {
        let credentials = opened
            .store
            .credentials(&text::username(username))
            .await?
            .ok_or_else(|| AdminError::Unknown(username.to_owned()))?;
        let user = &credentials.user.id;
        opened.store.set_user_role(user, Role::Admin).await?;
        let granted = Record::new("admin.grant", AuditOutcome::Succeeded);
        record(config, granted.by_system().on("user", user.as_str())).await
    };
    let granted = granted.await;
    opened.close(granted).await
}

/// Records what was done, where there is an audit log.
async fn record(config: &Config, record: Record) -> Result<(), AdminError> {
    let unrecorded =
        |error: &dyn std::error::Error| AdminError::Unrecorded(format!("{error}{}", causes(error)));
    let (store, postgres) = match &config.fleet {
        None => {
            let opened = AuditStore::open(&config.data_dir).await;
            (opened.map_err(|error| unrecorded(&error))?, None)
        }
        Some(fleet) => {
            let Some(config) = &fleet.postgres else {
                return Ok(());
            };
            let connected = Postgres::connect(config.clone());
            let postgres = connected.map_err(|error| unrecorded(&error))?;
            (AuditStore::postgres(postgres.clone()), Some(postgres))
        }
    };
    let recorded = store.insert(&[record.into_entry("command line")]).await;
    store.close().await;
    if let Some(postgres) = postgres {
        postgres.close().await;
    }
    recorded.map(drop).map_err(|error| unrecorded(&error))
}

/// A key for another program.
pub struct CreatedKey {
    /// The key, which is told only once.
    pub secret: Secret,
    /// That it isn't in the audit log, and why.
    pub unrecorded: Option<AdminError>,
}

/// Makes a key for another program, good for these scopes, and returns it. Running instances of a fleet know it within ten
/// seconds.
///
/// # Errors
/// If a server is running on the directory, the database isn't reached, or name or scopes are wrong.
pub async fn create_key(
    config: &Config,
    name: &str,
    scopes: &[&str],
) -> Result<CreatedKey, AdminError> {
    let request = CreateApiKey {
        name: name.trim().to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    request
        .validate()
        .map_err(|invalid| AdminError::Invalid(invalid.to_string()))?;
    let opened = Opened::new(config).await?;
    let (stored, secret) = api_keys::make(request);
    let created = async {
        let id = stored.id.clone();
        opened.store.create_api_key(stored).await?;
        let created = Record::new("api_key.create", AuditOutcome::Succeeded);
        let recorded = record(config, created.by_system().on("key", id.as_str())).await;
        // It is made, and there is no other time to tell it.
        Ok(CreatedKey {
            secret,
            unrecorded: recorded.err(),
        })
    };
    let created = created.await;
    opened.close(created).await
}

/// The keys of other programs, a line each: id, name, scopes, when it was made and last used.
///
/// # Errors
/// If a server is running on the directory, or the database isn't reached.
pub async fn keys(config: &Config) -> Result<Vec<String>, AdminError> {
    let opened = Opened::new(config).await?;
    let listed = opened.store.api_keys().await.map_err(AdminError::from);
    let keys = opened.close(listed).await?.into_iter();
    let line = |key: StoredApiKey| {
        let used = key
            .last_used_at
            .map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
        let (scopes, made) = (key.scopes.join(","), key.created_at);
        format!(
            "{}  {}  {scopes}  made {made}  {used}",
            key.id.as_str(),
            key.name
        )
    };
    Ok(keys.map(line).collect())
}

/// Revokes a key of another program. Running instances of a fleet refuse it within ten seconds.
///
/// # Errors
/// If a server is running on the directory, the database isn't reached, or there is no such key.
pub async fn revoke_key(config: &Config, id: &str) -> Result<(), AdminError> {
    let unknown = || AdminError::Invalid(format!("there is no key {id:?}"));
    let key: ApiKeyId = id.parse().map_err(|_| unknown())?;
    let opened = Opened::new(config).await?;
    let revoked = async {
        match opened.store.delete_api_key(&key).await {
            Err(StoreError::NotFound) => return Err(unknown()),
            revoked => revoked?,
        }
        let revoked = Record::new("api_key.revoke", AuditOutcome::Succeeded);
        record(config, revoked.by_system().on("key", key.as_str())).await
    };
    let revoked = revoked.await;
    opened.close(revoked).await
}

/// Makes what the databases lack: collections and indexes, on a router the sharding, and in PostgreSQL the schema.
///
/// # Errors
/// If a server is running on the directory, the database isn't reached, or its user may not.
pub async fn migrate(config: &Config) -> Result<(), AdminError> {
    let opened = Opened::new(config).await?;
    let migrated = async {
        opened.store.migrate().await?;
        if let Some(fleet) = &config.fleet
            && let Some(postgres) = &fleet.postgres
        {
            Postgres::migrate(postgres).await?;
        }
        Ok(())
    };
    let migrated = migrated.await;
    opened.close(migrated).await
}

/// After the database was restored from a backup: gives every room's log a new life, so that clients who know what came
/// after the backup load their rooms anew. Returns the number of rooms.
///
/// # Errors
/// If a server is running, which remembers the logs as they were, or the database isn't reached.
pub async fn restored(config: &Config) -> Result<u64, AdminError> {
    let opened = Opened::new(config).await?;
    let renewed = async {
        if let (Some(redis), Some(fleet)) = (&opened.redis, &config.fleet) {
            nobody_runs(redis, fleet).await?;
        }
        let rooms = opened.store.renew_epochs().await?;
        let renewed = Record::new("admin.restored", AuditOutcome::Succeeded);
        record(config, renewed.by_system().with("rooms", rooms)).await?;
        Ok(rooms)
    };
    let renewed = renewed.await;
    opened.close(renewed).await
}

/// The jobs that failed for good, of a kind or of all, a line each, the latest first.
///
/// # Errors
/// If a server is running on the directory, or the database isn't reached.
pub async fn dead_jobs(config: &Config, kind: Option<&str>) -> Result<Vec<String>, AdminError> {
    let tables = Tables::open(config).await?;
    let dead = tables.jobs.dead(kind, 1, DEAD_JOBS_SETTLED).await;
    tables.close().await;
    let line = |job: DeadJob| {
        let (kind, id, at, attempts) = (job.kind, job.id, job.died_at, job.attempts);
        format!("{kind}  {id}  failed {at}, run {attempts}: {}", job.error)
    };
    Ok(dead?.0.into_iter().map(line).collect())
}

/// Enqueues such a job again, or forgets it; all of its kind without an id. Says how many there were.
///
/// # Errors
/// If a server is running on the directory, the database isn't reached, or there is no such job.
pub async fn settle_dead_jobs(
    config: &Config,
    action: DeadJobAction,
    kind: &str,
    id: Option<&str>,
) -> Result<u32, AdminError> {
    let tables = Tables::open(config).await?;
    let settled = tables.jobs.settle_dead(action, kind, id).await;
    tables.close().await;
    let settled = settled?;
    if settled == 0 {
        return Err(AdminError::Invalid(format!(
            "no such job has failed for good: {kind} {}",
            id.unwrap_or_default()
        )));
    }
    let mut done = Record::new("job.settle", AuditOutcome::Succeeded)
        .by_system()
        .on("job", kind)
        .with("jobs", settled);
    done.set_detail("action", action.name());
    if let Some(id) = id {
        done.set_detail("id", id);
    }
    record(config, done).await?;
    Ok(settled)
}

/// The tables of a configuration, for one command.
struct Tables {
    sql: Sql,
    jobs: JobStore,
    postgres: Option<Postgres>,
}

impl Tables {
    async fn open(config: &Config) -> Result<Self, AdminError> {
        let (sql, postgres) = match &config.fleet {
            None => (Sql::open(&config.data_dir).await?, None),
            Some(fleet) => {
                let config = fleet.postgres.as_ref().ok_or_else(|| {
                    let why = "this fleet keeps no jobs: DATABASE_URL isn't set";
                    AdminError::Invalid(why.to_owned())
                })?;
                let postgres = Postgres::connect(config.clone())?;
                (Sql::postgres(postgres.clone()), Some(postgres))
            }
        };
        let jobs = JobStore::new(sql.clone());
        Ok(Self {
            sql,
            jobs,
            postgres,
        })
    }

    async fn close(&self) {
        self.sql.close().await;
        if let Some(postgres) = &self.postgres {
            postgres.close().await;
        }
    }
}

/// Joins the registry of instances for a moment, which tells of the others.
async fn nobody_runs(redis: &RedisClient, fleet: &FleetConfig) -> Result<(), AdminError> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let prefix = fleet.redis_prefix.as_str();
    let (bus, peers) = (Arc::new(Bus::in_process()), Peers::default());
    let own = InstanceId::random();
    let instances = Instances::of_fleet(own, nowhere, redis.clone(), prefix, bus, peers);
    instances.join().await?;
    let others = instances.live().len() - 1;
    instances.leave().await;
    if others > 0 {
        return Err(AdminError::Running(others));
    }
    Ok(())
}
