//! What a server of a fleet needs before it takes clients: it waits for it, however long that takes, and says what for.
//! A process that ended instead would be started again and again, and everybody's patience would be its supervisor's.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use rand::RngExt;
use redis_client::{RedisClient, RedisError};
use storage::StoreError;

use crate::{app::SharedApp, error::causes, instances::RenewError, revocations};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The oldest Redis with sharded publish and subscribe.
const OLDEST_REDIS: u32 = 7;

/// What is still waited for.
#[derive(Default)]
pub struct Startup(Mutex<Option<BTreeMap<&'static str, String>>>);

/// Why the server can't take clients yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("Redis {0} is too old: version 7 or later is needed")]
    OldRedis(String),
    #[error("Redis may evict keys (maxmemory-policy {0}); set it to noeviction")]
    Evicting(String),
    #[error(transparent)]
    Registry(#[from] RenewError),
    #[error("{error}{}", causes(error))]
    Store { error: StoreError },
}

impl NotYet {
    /// What everybody may read: names of hosts are for the log.
    fn shown(&self) -> String {
        match self {
            Self::Redis(_) | Self::Registry(RenewError::Redis(_)) => "not reached".to_owned(),
            Self::Store { .. } => "not possible yet".to_owned(),
            other => other.to_string(),
        }
    }
}

fn not_yet(error: StoreError) -> NotYet {
    NotYet::Store { error }
}

impl Startup {
    /// Of a server that has to wait.
    pub fn waiting() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }

    /// What is waited for and why it isn't there; `None` once the server takes clients.
    pub fn missing(&self) -> Option<BTreeMap<&'static str, String>> {
        self.0.lock().clone()
    }

    /// Whether the server takes clients.
    pub fn is_over(&self) -> bool {
        self.0.lock().is_none()
    }
}

/// Waits until everything is there, then returns.
pub async fn wait(app: &SharedApp, redis: &RedisClient) {
    let attempt = async |name: &'static str, pause: &mut Duration| {
        let outcome = match name {
            "redis" => check_redis(app, redis).await,
            "store" => app.store.ping().await.map_err(not_yet),
            _ => revocations::reload(app).await.map_err(not_yet),
        };
        let Err(error) = outcome else {
            return true;
        };
        let text = error.to_string();
        let is_news = {
            let mut missing = app.startup.0.lock();
            let missing = missing.get_or_insert_default();
            missing
                .insert(name, error.shown())
                .is_none_or(|before| before != error.shown())
        };
        if is_news {
            tracing::warn!(dependency = name, error = %text, "waiting before clients are taken");
        }
        let jitter = rand::rng().random_range(0.75..1.25);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        false
    };
    let until_there = async |name: &'static str| {
        let mut pause = FIRST_PAUSE;
        while !attempt(name, &mut pause).await {}
        let mut missing = app.startup.0.lock();
        if let Some(missing) = &mut *missing {
            missing.remove(name);
        }
    };
    tokio::join!(
        until_there("redis"),
        until_there("store"),
        until_there("sessions")
    );
    app.instances.make_known(app);
    *app.startup.0.lock() = None;
    tracing::info!(instance = %app.instances.own(), "everything is there; clients are taken");
}

async fn check_redis(app: &SharedApp, redis: &RedisClient) -> Result<(), NotYet> {
    let facts = redis.server_facts().await?;
    if facts.major < OLDEST_REDIS {
        return Err(NotYet::OldRedis(facts.version));
    }
    // A counter or a session that is evicted is lost without anybody noticing.
    match facts.maxmemory_policy {
        Some(policy) if policy != "noeviction" => return Err(NotYet::Evicting(policy)),
        _ => {}
    }
    app.instances.join().await?;
    Ok(())
}
