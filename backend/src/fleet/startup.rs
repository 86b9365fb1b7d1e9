//! Start-up of an instance of a fleet: it waits for the services that it needs before it accepts clients, however long that
//! takes, and says what it waits for. A process that ended instead would be restarted again and again by its supervisor.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use rand::RngExt;
use redis_client::{RedisClient, RedisError};
use storage::{MessageStore, StoreError, causes};

use super::instances::{Instances, RenewError};
use crate::auth::revocations::Revocations;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The oldest Redis with sharded publish and subscribe.
const OLDEST_REDIS: u32 = 7;

/// What an instance still waits for.
#[derive(Default)]
pub struct Startup(Mutex<Option<BTreeMap<&'static str, String>>>);

/// Why the instance can't accept clients yet.
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
    /// What everybody may see: names of hosts are for the log.
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
    /// The start-up of an instance that has to wait.
    pub fn waiting() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }

    /// What is missing and why; `None` once the instance accepts clients.
    pub fn missing(&self) -> Option<BTreeMap<&'static str, String>> {
        self.0.lock().clone()
    }

    /// True if the instance accepts clients.
    pub fn is_over(&self) -> bool {
        self.0.lock().is_none()
    }
}

/// What an instance of a fleet depends on.
pub struct Dependencies<'a> {
    /// The Redis of everything but sessions and rate limits.
    pub redis: &'a RedisClient,
    /// The registry of live instances.
    pub instances: &'a Instances,
    /// The message store.
    pub store: &'a MessageStore,
    /// Revoked sessions, which have to be known before tokens are believed.
    pub revocations: &'a Revocations,
    /// Whether it is to be one of the live instances.
    pub serves_clients: bool,
}

impl Startup {
    /// Waits until everything is there, then returns. It isn't over before [`finish`](Self::finish).
    pub async fn wait(&self, dependencies: &Dependencies<'_>) {
        tokio::join!(
            self.wait_for(dependencies, "redis"),
            self.wait_for(dependencies, "store"),
            self.wait_for(dependencies, "sessions")
        );
        if dependencies.serves_clients {
            dependencies.instances.introduce().await;
        }
    }

    /// It is over: the instance is ready from here on, and has to accept clients already.
    pub fn finish(&self, dependencies: &Dependencies<'_>) {
        *self.0.lock() = None;
        let instance = dependencies.instances.own();
        if dependencies.serves_clients {
            tracing::info!(%instance, "all dependencies are available; accepting clients");
        } else {
            tracing::info!(%instance, "all dependencies are available");
        }
    }

    async fn wait_for(&self, dependencies: &Dependencies<'_>, name: &'static str) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = dependencies.check(name).await {
            let shown = error.shown();
            let text = error.to_string();
            let is_new = {
                let mut missing = self.0.lock();
                let missing = missing.get_or_insert_default();
                let before = missing.insert(name, shown.clone());
                before.is_none_or(|before| before != shown)
            };
            if is_new {
                if dependencies.serves_clients {
                    tracing::warn!(dependency = name, error = %text, "waiting before clients are accepted");
                } else {
                    tracing::warn!(dependency = name, error = %text, "waiting before jobs are run");
                }
            }
            let jitter = rand::rng().random_range(0.75..1.25);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if let Some(missing) = &mut *self.0.lock() {
            missing.remove(name);
        }
    }
}

impl Dependencies<'_> {
    async fn check(&self, name: &str) -> Result<(), NotYet> {
        match name {
            "redis" => self.check_redis().await,
            "store" => self.store.ping().await.map_err(not_yet),
            _ => self.revocations.reload().await.map_err(not_yet),
        }
    }

    async fn check_redis(&self) -> Result<(), NotYet> {
        let facts = self.redis.server_facts().await?;
        if facts.major < OLDEST_REDIS {
            return Err(NotYet::OldRedis(facts.version));
        }
        // A counter or a session that is evicted is lost without a trace.
        match facts.maxmemory_policy {
            Some(policy) if policy != "noeviction" => return Err(NotYet::Evicting(policy)),
            _ => {}
        }
        if self.serves_clients {
            self.instances.join().await?;
        }
        Ok(())
    }
}
