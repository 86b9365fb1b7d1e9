//! The back end of a fleet: a MongoDB replica set or sharded cluster, with Redis for the counters of the rooms' logs. Here:
//! which parts it has, and how they are put together.
//!
//! What must stay true:
//! - every write is acknowledged by a majority with its journal flushed, every read is from the primary and of what a
//!   majority has: what was answered survives an election, and what was written is read;
//! - every operation on a sharded collection names the value of its shard key (see `collections.rs`), but for following all
//!   logs at once (`log/follower.rs`), which one instance of a fleet does;
//! - where two documents must agree, they change in one transaction (see `transaction.rs`).

mod address;
mod api_keys;
mod blocks;
mod cached;
mod claims;
mod collections;
mod counts;
mod database;
mod deletion;
mod direct_rooms;
mod documents;
mod failure;
mod generations;
mod guests;
mod log;
mod members;
mod membership_changes;
mod memberships;
mod migrate;
mod name_index;
mod owners;
mod purge;
mod query;
mod renewal;
mod room_views;
mod rooms;
mod targeting;
#[cfg(test)]
mod tests;
mod transaction;
mod users;
mod values;
mod write;

use std::sync::Arc;

use mongodb::Client;
use mongodb::options::ClientOptions;
use redis_client::RedisClient;

use crate::{FleetStats, OpenError, StoreError, StoreStats};
use address::{malformed, options};
use api_keys::ApiKeys;
use blocks::Blocks;
use cached::{BlockLookup, Invalidations, MemberCounts, MembershipLookup, People, RoomLookup};
use counts::Counts;
use database::Database;
use deletion::Deletion;
use direct_rooms::DirectRooms;
use guests::Guests;
pub use log::LogFollower;
use log::epochs::Epochs;
use log::words::DueBlocks;
use log::{
    Entries, Events, GapFiller, GapWatch, History, Messages, Search, Unread, VisibleHeads,
    WordIndex,
};
use members::Members;
use membership_changes::MembershipChanges;
use memberships::Memberships;
use purge::Purger;
use room_views::RoomViews;
use rooms::Rooms;
use users::Users;
use write::Writer;

/// The database, unless the address names one.
const DATABASE: &str = "tertulia";

/// How the store of a fleet is reached.
#[derive(Clone)]
pub struct MongoConfig {
    /// `mongodb://…/database?options`; the database is `tertulia` unless it says. Credentials and TLS are the
    /// address's; pool size, time-outs and application name may be. Concerns and read preference are the store's own.
    pub uri: protocol::Secret,
    /// Holds the counters of the rooms' logs.
    pub redis: RedisClient,
    /// What the keys in Redis begin with, behind the tag.
    pub key_prefix: String,
}

/// The store on MongoDB. Its parts are called directly. Cloning shares it.
#[derive(Clone)]
pub(crate) struct MongoStore {
    pub(super) parts: Arc<Parts>,
}

/// The parts of the store, each in the file of its name. Arrows between them lead one way: what is cached below the logs,
/// the logs below the write path, all of these below users, rooms and members.
pub(super) struct Parts {
    database: Database,
    pub(super) invalidations: Arc<Invalidations>,
    pub(super) api_keys: ApiKeys,
    pub(super) users: Users,
    pub(super) guests: Guests,
    pub(super) deletion: Deletion,
    pub(super) blocks: Blocks,
    pub(super) rooms: Rooms,
    pub(super) direct_rooms: DirectRooms,
    pub(super) room_views: RoomViews,
    pub(super) members: Members,
    pub(super) memberships: Memberships,
    pub(super) membership_lookup: MembershipLookup,
    pub(super) membership_changes: MembershipChanges,
    pub(super) entries: Entries,
    pub(super) heads: VisibleHeads,
    pub(super) events: Events,
    pub(super) history: History,
    pub(super) search: Search,
    pub(super) unread: Unread,
    pub(super) epochs: Epochs,
    pub(super) writer: Writer,
    gaps: Arc<GapWatch>,
    counts: Arc<Counts>,
    filler: Arc<GapFiller>,
    purger: Arc<Purger>,
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
        let database = Database::new(client, &name);
        let parts = Parts::new(&database, is_replica_set, config);
        parts.start_background();
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    pub(super) async fn close(&self) {
        self.parts.writer.close().await;
        self.parts.database.close().await;
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.parts.database.ping().await?)
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let database = &self.parts.database;
        database.migrate().await?;
        while renewal::step(database).await? {}
        Ok(())
    }

    pub(super) fn stats(&self) -> StoreStats {
        let counts = &self.parts.counts;
        let (queued_writes, queued_bytes) = self.parts.writer.queued();
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
                rooms_with_gaps: self.parts.gaps.len(),
                counters_restored: counts.counters_restored.get(),
                degraded_reservations: counts.degraded_reservations.get(),
            }),
        }
    }
}

impl Parts {
    /// Puts the parts together and starts the write path.
    fn new(database: &Database, is_replica_set: bool, config: MongoConfig) -> Self {
        let counts = Arc::<Counts>::default();
        let gaps = Arc::<GapWatch>::default();
        let due = Arc::<DueBlocks>::default();

        // What is cached for seconds.
        let invalidations = Arc::new(Invalidations::new());
        let people = People::new(database, &invalidations);
        let room_lookup = RoomLookup::new(database, &invalidations);
        let block_lookup = BlockLookup::new(database, &invalidations);
        let membership_lookup =
            MembershipLookup::new(database, &room_lookup, &block_lookup, &invalidations);
        let member_counts = MemberCounts::new(database, &invalidations);

        // The logs.
        let entries = Entries::new(database);
        let heads = VisibleHeads::new(&entries, &room_lookup, &gaps, &due);
        let messages = Messages::new(database, &people);
        let filler = GapFiller::new(&entries, &heads, &gaps, &counts);
        let index = Arc::new(WordIndex::new(database, &heads, &due));
        let unread = Unread::new(database, &heads);
        let writer = Writer::start(write::Parts {
            database,
            is_replica_set,
            redis: config.redis,
            key_prefix: config.key_prefix,
            people: &people,
            memberships: &membership_lookup,
            blocks: &block_lookup,
            entries: &entries,
            heads: &heads,
            messages: &messages,
            filler: &filler,
            due: &due,
            counts: &counts,
        });

        // Users, rooms and members.
        let users = Users::new(database, &invalidations);
        let members = Members {
            database: database.clone(),
            rooms: room_lookup.clone(),
            users: users.clone(),
        };
        let memberships = Memberships {
            database: database.clone(),
            people: people.clone(),
            rooms: room_lookup.clone(),
        };
        let membership_changes = MembershipChanges {
            database: database.clone(),
            rooms: room_lookup.clone(),
            people: people.clone(),
            heads: heads.clone(),
            memberships: memberships.clone(),
            invalidations: Arc::clone(&invalidations),
        };
        let room_views = RoomViews {
            database: database.clone(),
            rooms: room_lookup.clone(),
            counts: member_counts,
            heads: heads.clone(),
            unread: unread.clone(),
            people: people.clone(),
            memberships: memberships.clone(),
        };

        Self {
            database: database.clone(),
            api_keys: ApiKeys {
                database: database.clone(),
            },
            guests: Guests {
                database: database.clone(),
                users: users.clone(),
            },
            deletion: Deletion {
                database: database.clone(),
                memberships: membership_changes.clone(),
                invalidations: Arc::clone(&invalidations),
            },
            blocks: Blocks {
                database: database.clone(),
                users: users.clone(),
                people: people.clone(),
                rooms: room_lookup.clone(),
                lookup: block_lookup.clone(),
                invalidations: Arc::clone(&invalidations),
            },
            rooms: Rooms {
                database: database.clone(),
                users: users.clone(),
                blocks: block_lookup.clone(),
                invalidations: Arc::clone(&invalidations),
            },
            direct_rooms: DirectRooms {
                database: database.clone(),
                users: users.clone(),
                rooms: room_lookup,
                blocks: block_lookup,
                members: members.clone(),
                changes: membership_changes.clone(),
                views: room_views.clone(),
            },
            purger: Arc::new(Purger {
                database: database.clone(),
                memberships: membership_changes.clone(),
            }),
            events: Events {
                database: database.clone(),
                people: people.clone(),
                entries: entries.clone(),
                heads: heads.clone(),
                messages: messages.clone(),
            },
            history: History {
                database: database.clone(),
                people: people.clone(),
                entries: entries.clone(),
                heads: heads.clone(),
                messages: messages.clone(),
            },
            search: Search {
                database: database.clone(),
                people,
                entries: entries.clone(),
                heads: heads.clone(),
                messages,
                index,
            },
            epochs: Epochs {
                database: database.clone(),
                invalidations: Arc::clone(&invalidations),
            },
            invalidations,
            users,
            room_views,
            members,
            memberships,
            membership_lookup,
            membership_changes,
            entries,
            heads,
            unread,
            writer,
            gaps,
            counts,
            filler: Arc::new(filler),
        }
    }

    /// Starts what runs in the background. It holds the parts weakly, and ends with the store.
    fn start_background(&self) {
        tokio::spawn(GapFiller::run(Arc::downgrade(&self.filler)));
        tokio::spawn(WordIndex::run(Arc::downgrade(&self.search.index)));
        tokio::spawn(Purger::run(Arc::downgrade(&self.purger)));
        tokio::spawn(renewal::run(self.database.downgrade()));
    }
}
