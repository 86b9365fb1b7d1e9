//! How entries get into the rooms' logs. The way of a message, file by file:
//!
//! 1. `queue.rs`: a [`job`] joins the queue of its room, in the order of the calls. While one round is being written, the
//!    next gathers.
//! 2. `round.rs`: a round takes the messages that wait, of many rooms, and leads them through the steps that follow.
//! 3. `admission.rs`: may its sender write here, and is there what it answers? The others are answered now.
//! 4. `assignment.rs`: each message gets a `seq`, or is recognised as one that was sent before. The `seq`s come from
//!    `sequencer.rs`: from the room's counter in Redis (`counters.rs`), or from the log where Redis can't be asked.
//! 5. `inserter.rs`: all are inserted at once, in as few requests as keep each sender's order (`insert_request.rs`), until
//!    the outcome of each is certain.
//! 6. `answers.rs`: the visible head of the room moves on (`log/visible_heads.rs`), and the callers are answered.
//!
//! Edits, deletions and reactions of one room leave the queue as one transaction: `changes.rs` records what
//! `change_plan.rs` has decided about the documents that `change_documents.rs` reads and writes.

mod admission;
mod answers;
mod assignment;
mod batch;
mod change_documents;
mod change_plan;
mod changes;
mod counters;
mod insert_request;
mod inserter;
mod job;
mod queue;
mod round;
mod sequencer;

use std::sync::Arc;

use protocol::RoomId;
use redis_client::RedisClient;

use super::super::{Appended, NewEntry};
use super::cached::{BlockLookup, MembershipLookup, People};
use super::counts::Counts;
use super::database::Database;
use super::log::words::DueBlocks;
use super::log::{DegradedRooms, Entries, GapFiller, Messages, VisibleHeads};
use crate::StoreError;
use admission::Admission;
use answers::Answers;
use assignment::Assignment;
use changes::ChangeWriter;
use counters::Counters;
use inserter::Inserter;
use queue::WriteQueue;
use round::RoundWriter;
use sequencer::Sequencer;

/// What the write path is made of.
pub struct Parts<'a> {
    pub database: &'a Database,
    pub is_replica_set: bool,
    pub redis: RedisClient,
    pub key_prefix: String,
    pub people: &'a People,
    pub memberships: &'a MembershipLookup,
    pub blocks: &'a BlockLookup,
    pub entries: &'a Entries,
    pub heads: &'a VisibleHeads,
    pub messages: &'a Messages,
    pub filler: &'a GapFiller,
    pub due: &'a Arc<DueBlocks>,
    pub counts: &'a Arc<Counts>,
}

/// Writes to the rooms' logs.
pub struct Writer {
    queue: WriteQueue,
    counters: Arc<Counters>,
    degraded: DegradedRooms,
}

impl Writer {
    /// Starts the write path. It ends when it is dropped and all that was accepted is written.
    pub fn start(parts: Parts<'_>) -> Self {
        let Parts {
            database,
            is_replica_set,
            people,
            memberships,
            blocks,
            entries,
            heads,
            messages,
            filler,
            due,
            counts,
            ..
        } = parts;
        let counters = Arc::new(Counters::new(parts.redis, parts.key_prefix));
        let degraded = DegradedRooms::new(database);
        let sequencer = Arc::new(Sequencer {
            counters: Arc::clone(&counters),
            entries: entries.clone(),
            heads: heads.clone(),
            degraded: degraded.clone(),
            counts: Arc::clone(counts),
        });
        let answers = Arc::new(Answers {
            heads: heads.clone(),
            messages: messages.clone(),
            counters: Arc::clone(&counters),
            counts: Arc::clone(counts),
        });
        let rounds = RoundWriter {
            admission: Admission {
                heads: heads.clone(),
                people: people.clone(),
                memberships: memberships.clone(),
                blocks: blocks.clone(),
                entries: entries.clone(),
                answers: Arc::clone(&answers),
            },
            assignment: Assignment {
                entries: entries.clone(),
                sequencer: Arc::clone(&sequencer),
                counters: Arc::clone(&counters),
            },
            inserter: Inserter {
                database: database.clone(),
                entries: entries.clone(),
                sequencer: Arc::clone(&sequencer),
                filler: filler.clone(),
                answers,
                counts: Arc::clone(counts),
            },
            degraded: degraded.clone(),
        };
        let changes = ChangeWriter {
            database: database.clone(),
            memberships: memberships.clone(),
            entries: entries.clone(),
            heads: heads.clone(),
            messages: messages.clone(),
            sequencer,
            filler: filler.clone(),
            due: Arc::clone(due),
        };
        let queue = WriteQueue::start(
            is_replica_set,
            &Arc::new(rounds),
            &Arc::new(changes),
            counts,
        );
        Self {
            queue,
            counters,
            degraded,
        }
    }

    /// Writes an entry and calls `done` once it is durable; see [`crate::MessageStore::append`].
    pub fn append(
        &self,
        entry: NewEntry,
        done: impl FnOnce(Result<Appended, StoreError>) + Send + 'static,
    ) {
        self.queue.submit(entry, Box::new(done));
    }

    /// See [`crate::MessageStore::recently_written`].
    pub async fn recently_written(
        &self,
        partitions: &[u16],
    ) -> Result<Vec<(RoomId, u64)>, StoreError> {
        let (mut rooms, degraded) = tokio::join!(
            self.counters.recent(partitions),
            self.degraded.recent(partitions)
        );
        rooms.extend(degraded?);
        Ok(rooms)
    }

    /// How many jobs are accepted and not completed, and how many bytes they hold.
    pub fn queued(&self) -> (u64, u64) {
        self.queue.used()
    }

    /// Refuses what comes from now on, and waits until all that was accepted is completed.
    pub async fn close(&self) {
        self.queue.close().await;
    }
}
