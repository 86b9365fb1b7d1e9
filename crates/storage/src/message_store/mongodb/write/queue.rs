//! The queue of what is to be written to the logs, and which of it is written when. While one round of messages is on its
//! way to the disks of a majority, the next gathers: the wait is what makes the batches.
//!
//! A room always has the same shard of the queue, and at most one group of its jobs is being written: messages as a part
//! of a round, or changes as a transaction of their own. So what is appended to a room is written in the order of the
//! calls, and completed in the order of `seq`. Rooms don't wait for one another's transactions.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use protocol::RoomId;
use redis_client::partition_of;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::super::NewEntry;
use super::super::counts::Counts;
use super::changes::ChangeWriter;
use super::job::{Capacity, Done, Job};
use super::round::RoundWriter;
use crate::StoreError;

/// Messages of one round. From 100 to 200 the cost of one falls by a tenth, and everybody in it waits half as long again.
const ROUND: usize = 200;

/// Changes of one transaction: they hold its documents locked until it is committed.
const CHANGES: usize = 100;

/// Transactions of a shard that run at once, each of another room.
const TRANSACTIONS: usize = 8;

/// Shards on a sharded cluster, where one server that is away stalls its rooms, and those that share a shard with them.
const SHARDS_OF_A_CLUSTER: usize = 16;

/// Shards on a replica set, which is away as a whole. One, since it costs the servers least: measured there with 100
/// messages on their way, 133 µs of their time for each with one shard, 164 µs with two, 220 µs with four, 339 µs with
/// sixteen. At a rate that leaves them time, two are slower too: of 500/s by two instances, which share two processors
/// with the servers, the 99th percentile was 71 ms with two shards and 34 ms with one.
const SHARDS_OF_A_SET: usize = 1;

/// The entrance to the shards. They end when it is dropped and all that was accepted is written.
pub struct WriteQueue {
    capacity: Arc<Capacity>,
    counts: Arc<Counts>,
    shards: Vec<mpsc::UnboundedSender<Job>>,
}

impl WriteQueue {
    /// Starts the shards.
    pub fn start(
        is_replica_set: bool,
        messages: &Arc<RoundWriter>,
        changes: &Arc<ChangeWriter>,
        counts: &Arc<Counts>,
    ) -> Self {
        let count = match is_replica_set {
            true => SHARDS_OF_A_SET,
            false => SHARDS_OF_A_CLUSTER,
        };
        let start = |_| {
            let (jobs, incoming) = mpsc::unbounded_channel();
            let shard = Shard {
                messages: Arc::clone(messages),
                changes: Arc::clone(changes),
                counts: Arc::clone(counts),
                rooms: HashMap::new(),
                with_messages: VecDeque::new(),
                with_changes: VecDeque::new(),
                rounds: 0,
                transactions: 0,
                running: JoinSet::new(),
            };
            tokio::spawn(shard.run(incoming));
            jobs
        };
        Self {
            capacity: Arc::default(),
            counts: Arc::clone(counts),
            shards: (0..count).map(start).collect(),
        }
    }

    /// Puts a job at the end of its room's queue, or completes it at once if the queue is full or closed.
    pub fn submit(&self, entry: NewEntry, done: Done) {
        let (permit, admitted) = self.capacity.take(entry.bytes());
        let shard = usize::from(partition_of(entry.room_id.as_str())) % self.shards.len().max(1);
        let job = Job::new(entry, done, permit);
        if let Err(refusal) = admitted {
            self.counts.refused.add(1);
            return job.complete(Err(refusal));
        }
        let Some(shard) = self.shards.get(shard) else {
            return tracing::error!("a write queue without shards");
        };
        if let Err(mpsc::error::SendError(job)) = shard.send(job) {
            job.complete(Err(StoreError::unavailable("the store is closed")));
        }
    }

    /// See [`Capacity::used`].
    pub fn used(&self) -> (u64, u64) {
        self.capacity.used()
    }

    /// See [`Capacity::close`].
    pub async fn close(&self) {
        self.capacity.close().await;
    }
}

/// A room's jobs that wait.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// True while jobs of the room are being written.
    busy: bool,
}

/// What has been written.
struct Ended {
    rooms: Vec<RoomId>,
    messages: bool,
}

/// Writes the jobs of some of the rooms.
struct Shard {
    messages: Arc<RoundWriter>,
    changes: Arc<ChangeWriter>,
    counts: Arc<Counts>,
    /// Those with jobs that wait or are being written.
    rooms: HashMap<RoomId, Waiting>,
    /// Rooms that aren't busy and whose next job is a message.
    with_messages: VecDeque<RoomId>,
    /// Those whose next job is a change.
    with_changes: VecDeque<RoomId>,
    rounds: usize,
    transactions: usize,
    running: JoinSet<Ended>,
}

impl Shard {
    async fn run(mut self, mut incoming: mpsc::UnboundedReceiver<Job>) {
        let mut open = true;
        while open || !self.running.is_empty() {
            tokio::select! {
                job = incoming.recv(), if open => match job {
                    Some(job) => {
                        self.queue(job);
                        while let Ok(job) = incoming.try_recv() {
                            self.queue(job);
                        }
                    }
                    None => open = false,
                },
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => match ended {
                    Ok(ended) => self.ended(ended),
                    Err(error) => tracing::error!(%error, "a round of writes was lost"),
                },
            }
            self.start();
        }
    }

    fn queue(&mut self, job: Job) {
        let room = job.entry.room_id.clone();
        let waiting = self.rooms.entry(room.clone()).or_default();
        let is_first = waiting.jobs.is_empty() && !waiting.busy;
        let is_message = job.is_message();
        waiting.jobs.push_back(job);
        if is_first {
            self.ready(room, is_message);
        }
    }

    fn ready(&mut self, room: RoomId, is_message: bool) {
        if is_message {
            self.with_messages.push_back(room);
        } else {
            self.with_changes.push_back(room);
        }
    }

    fn ended(&mut self, ended: Ended) {
        if ended.messages {
            self.rounds -= 1;
        } else {
            self.transactions -= 1;
        }
        for room in ended.rooms {
            let Some(waiting) = self.rooms.get_mut(&room) else {
                continue;
            };
            waiting.busy = false;
            match waiting.jobs.front().map(Job::is_message) {
                Some(is_message) => self.ready(room, is_message),
                None => drop(self.rooms.remove(&room)),
            }
        }
    }

    /// Begins to write what may be written.
    fn start(&mut self) {
        if self.rounds == 0 {
            let rooms = self.gather();
            if !rooms.is_empty() {
                self.rounds += 1;
                let messages = rooms.iter().map(|(_, jobs)| jobs.len()).sum();
                self.counts.groups.add(1);
                self.counts.grouped.add(messages);
                let names = rooms.iter().map(|(room, _)| room.clone()).collect();
                let writer = Arc::clone(&self.messages);
                self.spawn(names, true, async move { writer.write(rooms).await });
            }
        }
        while self.transactions < TRANSACTIONS
            && let Some(room) = self.with_changes.pop_front()
        {
            let jobs = self.take(&room, CHANGES, false);
            self.transactions += 1;
            self.counts.groups.add(1);
            self.counts.grouped.add(jobs.len());
            let names = vec![room.clone()];
            let writer = Arc::clone(&self.changes);
            self.spawn(names, false, async move { writer.write(room, jobs).await });
        }
    }

    /// The next round: of each room in turn the messages up to its first change.
    fn gather(&mut self) -> Vec<(RoomId, Vec<Job>)> {
        let mut rooms = Vec::new();
        let mut left = ROUND;
        while left > 0
            && let Some(room) = self.with_messages.pop_front()
        {
            let jobs = self.take(&room, left, true);
            left -= jobs.len();
            rooms.push((room, jobs));
        }
        rooms
    }

    /// The first jobs of a room as long as they are of one kind, at most `limit`. The room is busy from then on.
    fn take(&mut self, room: &RoomId, limit: usize, messages: bool) -> Vec<Job> {
        let Some(waiting) = self.rooms.get_mut(room) else {
            return Vec::new();
        };
        waiting.busy = true;
        let mut jobs = Vec::new();
        while jobs.len() < limit
            && let Some(job) = waiting
                .jobs
                .pop_front_if(|job| job.is_message() == messages)
        {
            jobs.push(job);
        }
        jobs
    }

    fn spawn(
        &mut self,
        rooms: Vec<RoomId>,
        messages: bool,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.running.spawn(async move {
            // The jobs it held were answered as they were dropped.
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!("a round of writes panicked");
            }
            Ended { rooms, messages }
        });
    }
}
