//! The queue of what is to be written to the logs, and who takes what from it when. While one round of messages is on
//! its way to the disks of a majority, the next gathers: the wait is what makes the batches.
//!
//! A room always has the same lane, and at most one thing of a room is on its way: messages as a part of a round, or
//! changes as a transaction of their own. So what is appended to a room is written in the order of the calls, and
//! completed in the order of `seq`. Rooms don't wait for one another's transactions.
//!
//! What must stay true: a job is completed exactly once, whatever panics; what waits is bounded in number and in bytes.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use protocol::RoomId;
use redis_client::partition_of;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::super::ids::new_id;
use super::super::{Appended, Change, NewEntry};
use super::counts::Counts;
use super::{MongoStore, Shared, changes, round};
use crate::StoreError;

/// Jobs that may wait, more than a burst of a thousand from each of a few connections.
const QUEUED_JOBS: usize = 8_192;

/// Bytes that the waiting jobs may hold.
const QUEUED_BYTES: usize = 32 << 20;

/// Messages of one round. From 100 to 200 the cost of one falls by a tenth, and everybody in it waits half as long again.
const ROUND: usize = 200;

/// Changes of one transaction: they hold its documents locked until it is committed.
const CHANGES: usize = 100;

/// Rooms of a lane whose changes are on their way at once.
const CHANGING: usize = 8;

/// How long a job may wait for its turn. Only a store that is away makes anybody wait so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Lanes of a cluster whose rooms lie on several shards: one that is away stalls its rooms, and those in their lanes.
const LANES_OF_SHARDS: usize = 16;

/// Lanes of a replica set, which is away as a whole. One, since it costs the servers least: measured there with 100
/// messages on their way, 133 µs of their time for each in one lane, 164 µs in two, 220 µs in four, 339 µs in sixteen.
/// At a rate that leaves them time, two are slower too: of 500/s by two instances, which share two processors with the
/// servers, the last hundredth took 71 ms in two lanes and 34 ms in one.
const LANES_OF_A_SET: usize = 1;

type Done = Box<dyn FnOnce(Result<Appended, StoreError>) + Send>;

/// Something to be written.
pub(super) struct Job {
    pub entry: NewEntry,
    /// What it is known by when it is in the log.
    pub id: String,
    admitted: Instant,
    /// Behind a lock so that jobs may be looked at from several tasks; nobody waits for it.
    done: Mutex<Option<Done>>,
    _place: Place,
}

impl Job {
    /// Whether it has waited so long that nobody is served by it any more.
    pub(super) fn is_stale(&self) -> bool {
        self.admitted.elapsed() > PATIENCE
    }

    pub(super) fn complete(mut self, result: Result<Appended, StoreError>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<Appended, StoreError>) {
        let Some(done) = self.done.get_mut().take() else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
            tracing::error!("the completion of a write panicked");
        }
    }

    fn is_message(&self) -> bool {
        matches!(self.entry.change, Change::Send { .. })
    }
}

/// Only a fault of this program, or the end of its runtime, drops a job that isn't completed.
impl Drop for Job {
    fn drop(&mut self) {
        if self.done.get_mut().is_some() {
            self.finish(Err(StoreError::unavailable("the writer has stopped")));
        }
    }
}

/// What the waiting jobs hold.
#[derive(Default)]
struct Queued {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
    closed: AtomicBool,
    emptied: Notify,
}

/// A job's part of [`Queued`], from its admission until its completion.
struct Place {
    queued: Arc<Queued>,
    bytes: usize,
}

impl Place {
    /// A place, and whether there was one.
    fn take(queued: &Arc<Queued>, bytes: usize) -> (Self, Result<(), StoreError>) {
        let jobs = queued.jobs.fetch_add(1, Ordering::AcqRel);
        let held = queued.bytes.fetch_add(bytes, Ordering::AcqRel);
        let admitted = if queued.closed.load(Ordering::Acquire) {
            Err(StoreError::unavailable("the store is closed"))
        } else if jobs >= QUEUED_JOBS || held + bytes > QUEUED_BYTES {
            Err(StoreError::unavailable("the write queue is full"))
        } else {
            Ok(())
        };
        let queued = Arc::clone(queued);
        (Self { queued, bytes }, admitted)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queued.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.queued.jobs.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.queued.emptied.notify_waiters();
        }
    }
}

/// The entrance to the lanes.
pub(super) struct Lanes {
    queued: Arc<Queued>,
    counts: Arc<Counts>,
    lanes: Vec<mpsc::UnboundedSender<Job>>,
}

/// The other end of the lanes, until they are started.
pub(super) struct Unstarted(Vec<mpsc::UnboundedReceiver<Job>>);

impl Lanes {
    pub(super) fn new(is_replica_set: bool, counts: Arc<Counts>) -> (Self, Unstarted) {
        let count = if is_replica_set {
            LANES_OF_A_SET
        } else {
            LANES_OF_SHARDS
        };
        let (lanes, ends) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let lanes = Self {
            queued: Arc::default(),
            counts,
            lanes,
        };
        (lanes, Unstarted(ends))
    }

    /// Puts a job at the end of its room's queue, or completes it at once if that is full or closed.
    pub(super) fn submit(&self, entry: NewEntry, done: Done) {
        let bytes = entry.bytes();
        let (place, admitted) = Place::take(&self.queued, bytes);
        let lane = usize::from(partition_of(entry.room_id.as_str())) % self.lanes.len().max(1);
        let job = Job {
            entry,
            id: new_id(),
            admitted: Instant::now(),
            done: Mutex::new(Some(done)),
            _place: place,
        };
        if let Err(refusal) = admitted {
            self.counts.refused.add(1);
            return job.complete(Err(refusal));
        }
        let Some(lane) = self.lanes.get(lane) else {
            return tracing::error!("a store without lanes");
        };
        if let Err(mpsc::error::SendError(job)) = lane.send(job) {
            job.complete(Err(StoreError::unavailable("the store is closed")));
        }
    }

    /// How many jobs wait or are on their way, and how many bytes they hold.
    pub(super) fn queued(&self) -> (u64, u64) {
        let jobs = self.queued.jobs.load(Ordering::Relaxed) as u64;
        (jobs, self.queued.bytes.load(Ordering::Relaxed) as u64)
    }

    /// Refuses what comes from now on, and waits until all that was accepted is completed.
    pub(super) async fn close(&self) {
        self.queued.closed.store(true, Ordering::Release);
        loop {
            let emptied = self.queued.emptied.notified();
            if self.queued.jobs.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Unstarted {
    /// Starts the lanes of a store. They end with it.
    pub(super) fn start(self, store: &Arc<Shared>) {
        for incoming in self.0 {
            let lane = Lane {
                store: Arc::downgrade(store),
                rooms: HashMap::new(),
                sending: VecDeque::new(),
                changing: VecDeque::new(),
                rounds: 0,
                transactions: 0,
                running: JoinSet::new(),
            };
            tokio::spawn(lane.run(incoming));
        }
    }
}

/// A room's jobs that wait.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Whether something of the room is on its way.
    busy: bool,
}

/// What has come to its end.
struct Ended {
    rooms: Vec<RoomId>,
    messages: bool,
}

/// One lane's own state.
struct Lane {
    store: Weak<Shared>,
    /// Those with jobs that wait, or that are on their way.
    rooms: HashMap<RoomId, Waiting>,
    /// Rooms that aren't busy and whose next job is a message.
    sending: VecDeque<RoomId>,
    /// Those whose next job is a change.
    changing: VecDeque<RoomId>,
    rounds: usize,
    transactions: usize,
    running: JoinSet<Ended>,
}

impl Lane {
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
            self.sending.push_back(room);
        } else {
            self.changing.push_back(room);
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

    /// Sends off what may go.
    fn start(&mut self) {
        // Without a store nobody is left who could be answered.
        let Some(store) = self.store.upgrade().map(|shared| MongoStore { shared }) else {
            self.rooms.clear();
            return;
        };
        if self.rounds == 0 {
            let rooms = self.gather();
            if !rooms.is_empty() {
                self.rounds += 1;
                let messages = rooms.iter().map(|(_, jobs)| jobs.len()).sum();
                store.shared.logs.counts.groups.add(1);
                store.shared.logs.counts.grouped.add(messages);
                let names = rooms.iter().map(|(room, _)| room.clone()).collect();
                self.spawn(names, true, round::run(store.clone(), rooms));
            }
        }
        while self.transactions < CHANGING
            && let Some(room) = self.changing.pop_front()
        {
            let jobs = self.take(&room, CHANGES, false);
            self.transactions += 1;
            store.shared.logs.counts.groups.add(1);
            store.shared.logs.counts.grouped.add(jobs.len());
            let names = vec![room.clone()];
            self.spawn(names, false, changes::run(store.clone(), room, jobs));
        }
    }

    /// The next round: of each room in turn the messages up to its first change.
    fn gather(&mut self) -> Vec<(RoomId, Vec<Job>)> {
        let mut rooms = Vec::new();
        let mut left = ROUND;
        while left > 0
            && let Some(room) = self.sending.pop_front()
        {
            let jobs = self.take(&room, left, true);
            left -= jobs.len();
            rooms.push((room, jobs));
        }
        rooms
    }

    /// The first jobs of a room as long as they are of one sort, at most `limit`. The room is busy from then on.
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
