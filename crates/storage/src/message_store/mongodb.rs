//! The back end of a fleet: a MongoDB replica set or sharded cluster, with Redis giving out the places of the rooms'
//! logs. Here: connecting, closing, and what several nouns share.
//!
//! What must stay true:
//! - every write is acknowledged by a majority with its journal flushed, every read is from the primary and of what a
//!   majority has: what was answered survives an election, and what was written is read;
//! - every operation on a sharded collection names the value of its shard key (see `collections.rs`);
//! - where two documents must agree, they change in one transaction (see `transaction.rs`).

mod append;
mod blocks;
mod changes;
mod claims;
mod collections;
mod counts;
mod degraded;
mod direct_rooms;
mod documents;
mod epochs;
mod failure;
mod guests;
mod history;
mod holes;
mod insertion;
mod lanes;
mod log;
mod members;
mod memberships;
mod message;
mod migrate;
mod name_index;
mod owners;
mod places;
mod plan;
mod purge;
mod recent;
mod renewal;
mod room_views;
mod rooms;
mod round;
mod search;
mod sequencer;
mod standing;
mod targeting;
#[cfg(test)]
mod tests;
mod transaction;
mod unread;
mod users;
mod values;
mod visible_head;
mod word_index;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use redis_client::RedisClient;
use tokio::sync::OnceCell;

use crate::{FleetStats, OpenError, StoreError, StoreStats};
use collections::Collections;
use failure::{Outcome, bounded};
use log::Logs;
use migrate::Unauthorized;
use standing::Memory;

/// The database, unless the address names one.
const DATABASE: &str = "tertulia";

/// Connections to each server. Each serves one operation at a time: more of them than this would only queue in the
/// server instead of here.
const CONNECTIONS: u32 = 100;

/// How many connections may be in the making at once: the driver's default of 2 makes a burst after an election wait.
const CONNECTING: u32 = 8;

/// How long an operation waits for a primary. An election takes longer; then the answer is `Unavailable`, and soon.
const SELECTION: Duration = Duration::from_secs(3);

/// How long connecting, and each sign of life of a server, may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How often servers are asked for a sign of life: a primary that hangs is noticed after this and [`CONNECT`].
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a write may wait for a majority before its outcome counts as unknown.
const WRITE_CONCERN: Duration = Duration::from_secs(5);

/// How long what is under way may take to end when the store is closed.
const CLOSE: Duration = Duration::from_secs(10);

/// How the store of a fleet is reached.
#[derive(Clone)]
pub struct MongoConfig {
    /// `mongodb://…/database?options`; the database is `tertulia` unless it says. Credentials and TLS are the
    /// address's; pool size, time-outs and application name may be. Concerns and read preference are the store's own.
    pub uri: protocol::Secret,
    /// Gives out places in the logs.
    pub redis: RedisClient,
    /// What the keys in Redis begin with, behind the tag.
    pub key_prefix: String,
}

/// The store on a replica set. Cloning shares it.
#[derive(Clone)]
pub(crate) struct MongoStore {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    database: Database,
    /// Reached through [`MongoStore::collections`]. Empty until the indexes are known to be there.
    collections: OnceCell<Collections>,
    memory: Memory,
    logs: Logs,
}

impl MongoStore {
    pub(super) async fn connect(config: MongoConfig) -> Result<Self, OpenError> {
        let options = options(config.uri.expose()).await?;
        Self::with(config, options)
    }

    pub(super) async fn connect_watched(
        config: MongoConfig,
        untargeted: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let mut options = options(config.uri.expose()).await?;
        options.command_event_handler = Some(targeting::watch(untargeted));
        Self::with(config, options)
    }

    fn with(config: MongoConfig, options: ClientOptions) -> Result<Self, OpenError> {
        let name = options
            .default_database
            .clone()
            .unwrap_or_else(|| DATABASE.to_owned());
        let is_replica_set = options.repl_set_name.is_some();
        let client = Client::with_options(options).map_err(|error| malformed(&error))?;
        let (logs, unstarted) = Logs::new(config.redis, config.key_prefix, is_replica_set);
        let shared = Arc::new(Shared {
            database: client.database(&name),
            client,
            collections: OnceCell::new(),
            memory: Memory::new(),
            logs,
        });
        unstarted.start(&shared);
        holes::start(&shared);
        word_index::start(&shared);
        tokio::spawn(purge::run(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    pub(super) async fn close(&self) {
        self.shared.logs.lanes.close().await;
        let client = self.shared.client.clone();
        // Waits for what is under way; what hangs is given up.
        if tokio::time::timeout(CLOSE, client.clone().shutdown())
            .await
            .is_err()
        {
            client.shutdown().immediate(true).await;
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // A primary that a majority doesn't follow steps down, so there being one is what makes writes possible.
        self.collections().await?;
        bounded(self.shared.database.run_command(doc! { "ping": 1 })).await?;
        Ok(())
    }

    pub(super) fn stats(&self) -> StoreStats {
        let logs = &self.shared.logs;
        let counts = &logs.counts;
        let (queued_writes, queued_bytes) = logs.lanes.queued();
        StoreStats {
            queued_writes,
            queued_bytes,
            refused_writes: counts.refused.get(),
            groups: counts.groups.get(),
            grouped_writes: counts.grouped.get(),
            embedded: None,
            fleet: Some(FleetStats {
                stored: counts.stored.get(),
                duplicates: counts.duplicates.get(),
                collided: counts.collided.get(),
                unknown: counts.unknown.get(),
                failed: counts.failed.get(),
                gaps_filled: counts.gaps_filled.get(),
                returned: counts.returned.get(),
                rooms_with_gaps: logs.holes.rooms().len() as u64,
                counters_restored: counts.counters_restored.get(),
                degraded_reservations: counts.degraded_reservations.get(),
            }),
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        migrate::run(&self.shared.database, Unauthorized::Fail).await?;
        while renewal::step(self).await? {}
        Ok(())
    }

    /// The collections, once it is sure that they have their indexes: what is missing is made at the first use, so
    /// that a fleet needs no step of installation. `Unavailable` while there is no primary.
    async fn collections(&self) -> Outcome<&Collections> {
        let shared = &self.shared;
        let made = async || {
            migrate::run(&shared.database, Unauthorized::Warn).await?;
            let collections = Collections::of(&shared.database);
            if renewal::is_due(&collections).await? {
                renewal::start(shared);
            }
            Ok(collections)
        };
        shared.collections.get_or_try_init(made).await
    }
}

/// What the address says, and what it may not say otherwise.
async fn options(uri: &str) -> Result<ClientOptions, OpenError> {
    let mut options = match ClientOptions::parse(uri).await {
        Ok(options) => options,
        Err(_) => return Err(without_credentials(uri).await),
    };
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(WRITE_CONCERN)
            .build(),
    );
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options
        .app_name
        .get_or_insert_with(|| "tertulia".to_owned());
    options.max_pool_size.get_or_insert(CONNECTIONS);
    options.max_connecting.get_or_insert(CONNECTING);
    options.server_selection_timeout.get_or_insert(SELECTION);
    options.connect_timeout.get_or_insert(CONNECT);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    Ok(options)
}

/// Why an address can't be used, found out on one without the password: the driver's words may repeat parts of it.
async fn without_credentials(uri: &str) -> OpenError {
    let stripped = match (uri.find("://"), uri.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}user:password{}", &uri[..scheme + 3], &uri[at..])
        }
        (None, Some(_)) => return OpenError::Address("expected mongodb://…".to_owned()),
        _ => uri.to_owned(),
    };
    match ClientOptions::parse(stripped).await {
        Err(error) => malformed(&error),
        Ok(_) => OpenError::Address("user and password must be percent-encoded".to_owned()),
    }
}

fn malformed(error: &mongodb::error::Error) -> OpenError {
    OpenError::Address(error.kind.to_string())
}
