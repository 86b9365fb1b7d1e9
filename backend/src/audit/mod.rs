//! The audit log: who did what to what, from where, with what outcome.
//!
//! On a server that is alone, entries go from a queue in memory to SQLite. In a fleet they go from the queue to a spool on the
//! instance's disk, from there to streams of Redis, and from these, by any instance, to PostgreSQL ([`fleet`]). A fleet without
//! PostgreSQL keeps none.
//!
//! What must stay true: recording never waits and never fails whoever acts; what is lost is counted; an entry is one row, whatever
//! breaks on the way; nothing that proves who somebody is, and nothing that people wrote, is recorded.

pub mod actions;
pub mod codec;
pub mod counts;
pub mod fleet;
pub mod queue;
pub mod record;
mod refusals;
mod retention;
pub mod writer;

use std::{
    io,
    panic::AssertUnwindSafe,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use protocol::{AuditOutcome, ErrorCode};
use redis_client::RedisClient;
use storage::AuditStore;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use self::{
    actions::Recording,
    counts::Counts,
    fleet::{consumer::Consumer, forwarder::Forwarder, spool::Spool, streams::Streams},
    queue::Queue,
    record::Record,
    refusals::{RefusalCounts, RefusedActor},
    writer::Writer,
};
use crate::{limits::network::Network, log_throttle::LogThrottle};

/// The audit log of one instance.
pub struct Audit {
    /// What entries say of where they were recorded.
    instance: String,
    queue: Arc<Queue>,
    refusals: RefusalCounts,
    counts: Arc<Counts>,
    /// `None` if nothing is recorded.
    store: Option<AuditStore>,
    way: Arc<Way>,
    /// `None` keeps entries for ever.
    retention_days: Option<u32>,
    exports: Arc<Semaphore>,
}

/// Exports that run at once.
const EXPORTS: usize = 2;

/// The pause before a task begins again that has failed.
const RESTART: Duration = Duration::from_secs(1);

/// From the queue to the store.
enum Way {
    /// Nowhere.
    None,
    /// On a server that is alone.
    Direct(Writer),
    /// In a fleet.
    Streams(Forwarder, Consumer),
}

/// What an audit log is made of.
pub struct AuditParts {
    /// What entries say of where they were recorded.
    pub instance: String,
    /// Where entries are kept.
    pub store: AuditStore,
    /// Counters.
    pub counts: Counts,
    /// Days that entries are kept; for ever if `None`.
    pub retention_days: Option<u32>,
}

/// How entries of a fleet get to the store.
pub struct StreamParts<'a> {
    /// A client of Redis, for this alone.
    pub redis: RedisClient,
    /// What keys begin with, behind their tag.
    pub prefix: &'a str,
    /// The spools' directory.
    pub spool: &'a Path,
    /// Bytes of the spool.
    pub spool_max_bytes: u64,
}

impl Audit {
    /// One that keeps nothing.
    pub fn off() -> Self {
        Self {
            instance: String::new(),
            queue: Arc::default(),
            refusals: RefusalCounts::new(Instant::now()),
            counts: Arc::default(),
            store: None,
            way: Arc::new(Way::None),
            retention_days: None,
            exports: Arc::new(Semaphore::new(EXPORTS)),
        }
    }

    /// That of a server that is alone.
    pub fn embedded(parts: AuditParts) -> Self {
        Self::new(parts, |queue, store, counts| {
            Way::Direct(Writer::new(queue, store, counts))
        })
    }

    /// That of an instance of a fleet.
    ///
    /// # Errors
    /// If the spool's directory can't be used.
    pub fn of_fleet(parts: AuditParts, streams: StreamParts<'_>) -> io::Result<Self> {
        let spool = Spool::open(streams.spool, streams.spool_max_bytes)?;
        let consumer = format!("{}-{}", parts.instance, Uuid::now_v7().simple());
        let streams = Arc::new(Streams::new(streams.redis, streams.prefix, consumer));
        Ok(Self::new(parts, |queue, store, counts| {
            let added = Arc::new(Notify::new());
            let forwarder =
                Forwarder::new(queue, spool, streams.clone(), counts.clone(), added.clone());
            Way::Streams(forwarder, Consumer::new(streams, store, counts, added))
        }))
    }

    fn new(
        parts: AuditParts,
        way: impl FnOnce(Arc<Queue>, AuditStore, Arc<Counts>) -> Way,
    ) -> Self {
        let (queue, counts) = (Arc::new(Queue::default()), Arc::new(parts.counts));
        Self {
            way: Arc::new(way(queue.clone(), parts.store.clone(), counts.clone())),
            instance: parts.instance,
            queue,
            refusals: RefusalCounts::new(Instant::now()),
            counts,
            store: Some(parts.store),
            retention_days: parts.retention_days,
            exports: Arc::new(Semaphore::new(EXPORTS)),
        }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.store.is_some()
    }

    /// What was recorded, by all instances; `None` if nothing is.
    pub fn store(&self) -> Option<&AuditStore> {
        self.store.as_ref()
    }

    /// The file of a server that is alone.
    pub fn embedded_store(&self) -> Option<&AuditStore> {
        let is_embedded = matches!(&*self.way, Way::Direct(_));
        self.store.as_ref().filter(|_| is_embedded)
    }

    /// The permits of exports.
    pub fn exports(&self) -> Arc<Semaphore> {
        self.exports.clone()
    }

    /// Whether entries go through a spool and streams.
    pub fn is_streamed(&self) -> bool {
        matches!(&*self.way, Way::Streams(..))
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Bytes recorded that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Records an action. Never waits: when too much waits to be written already, the entry is dropped and counted.
    pub fn record(&self, record: Record) {
        static FULL: LogThrottle = LogThrottle::new();
        if !self.is_on() {
            return;
        }
        if record.outcome != AuditOutcome::Succeeded && self.is_too_often(&record) {
            self.counts.suppress(1);
            return;
        }
        if self.queue.push(record.into_entry(&self.instance)) {
            self.counts.record(1);
            return;
        }
        self.counts.drop_entries(1);
        if let Some(suppressed) = FULL.record() {
            tracing::error!(
                suppressed,
                "the audit log's queue is full, or closed at the end; entries are lost"
            );
        }
    }

    /// Records an action that was done, or refused with `refusal`, if that is recorded; see [`Recording::action`].
    pub fn record_outcome(
        &self,
        recording: Recording,
        mut record: Record,
        refusal: Option<ErrorCode>,
        proven: bool,
    ) {
        if recording.action(refusal, proven).is_none() {
            return;
        }
        if let Some(code) = refusal {
            record.set_refusal(code);
        }
        self.record(record);
    }

    fn is_too_often(&self, record: &Record) -> bool {
        let actor = match (&record.actor_id, record.address) {
            (Some(user), _) => RefusedActor::User(user.clone()),
            (None, Some(address)) => RefusedActor::Network(Network::from(address)),
            (None, None) => RefusedActor::Unknown,
        };
        !self.refusals.admit(record.action, actor, Instant::now())
    }

    /// Starts what brings entries to the store, and removes old ones.
    pub fn spawn_tasks(&self, tasks: &mut JoinSet<()>) {
        match &*self.way {
            Way::None => {}
            Way::Direct(_) => self.spawn(tasks, "writer", |way| async move {
                if let Way::Direct(writer) = &*way {
                    writer.run().await;
                }
            }),
            Way::Streams(..) => {
                self.spawn(tasks, "spool writer", |way| async move {
                    if let Way::Streams(forwarder, _) = &*way {
                        forwarder.run_writer().await;
                    }
                });
                self.spawn(tasks, "sender", |way| async move {
                    if let Way::Streams(forwarder, _) = &*way {
                        forwarder.run_sender().await;
                    }
                });
                self.spawn(tasks, "consumer", |way| async move {
                    if let Way::Streams(_, consumer) = &*way {
                        consumer.run().await;
                    }
                });
            }
        }
        if let (Some(store), Some(days)) = (self.store.clone(), self.retention_days) {
            let counts = self.counts.clone();
            self.spawn(tasks, "retention", move |way| {
                let (store, counts) = (store.clone(), counts.clone());
                async move {
                    let streams = match &*way {
                        Way::Streams(_, consumer) => Some(consumer.streams()),
                        Way::None | Way::Direct(_) => None,
                    };
                    retention::run(&store, days, streams, &counts).await;
                }
            });
        }
    }

    fn spawn<F>(
        &self,
        tasks: &mut JoinSet<()>,
        task: &'static str,
        run: impl Fn(Arc<Way>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let way = self.way.clone();
        tasks.spawn(supervise(task, move || run(way.clone())));
    }

    /// Closes the embedded store.
    pub async fn close(&self) {
        if let Some(store) = &self.store {
            store.close().await;
        }
    }

    /// Waits until everything that was recorded here is stored, at most so long. In a fleet what isn't stays in the spool.
    pub async fn settle(&self, at_most: Duration) {
        let began = Instant::now();
        let is_done = || match &*self.way {
            Way::None => true,
            Way::Direct(writer) => writer.is_done(),
            Way::Streams(forwarder, _) => forwarder.is_done(),
        };
        while !is_done() {
            if began.elapsed() >= at_most {
                tracing::warn!("the audit log isn't written to its end");
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes what was recorded after [`Audit::settle`], once no task does any longer, for at most so long, and takes nothing more.
    /// What isn't written is counted.
    pub async fn finish(&self, at_most: Duration) {
        let write = async {
            match &*self.way {
                Way::None => {}
                Way::Direct(writer) => writer.write().await,
                Way::Streams(forwarder, _) => forwarder.write().await,
            }
        };
        // The tasks may have been stopped in the middle of this many.
        let mut lost = self.queue.abandon();
        let ended = timeout(at_most, write).await;
        lost += self.queue.close();
        if lost > 0 || ended.is_err() {
            self.counts.drop_entries(lost as u64);
            tracing::error!(lost, "entries of the audit log are lost at the end");
        }
    }
}

/// Runs a task, and again when it panics: without it nothing would be stored any more.
async fn supervise<F: Future<Output = ()>>(task: &'static str, start: impl Fn() -> F) {
    loop {
        // The runtime's hook has logged the panic. What a task works on is whole between two of its steps.
        if AssertUnwindSafe(start()).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(task, "a task of the audit log failed; it begins again");
        sleep(RESTART).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use storage::AuditFilter;

    use super::*;

    #[tokio::test]
    async fn what_is_recorded_at_the_very_end_is_written_or_counted() {
        let directory = tempfile::tempdir().unwrap();
        let store = AuditStore::open(directory.path()).await.unwrap();
        let audit = Audit::embedded(AuditParts {
            instance: "i".to_owned(),
            store: store.clone(),
            counts: Counts::default(),
            retention_days: None,
        });
        let record = || audit.record(Record::new("room.create", AuditOutcome::Succeeded));
        let mut tasks = JoinSet::new();
        audit.spawn_tasks(&mut tasks);
        record();
        let patience = Duration::from_secs(30);
        audit.settle(patience).await;
        tasks.shutdown().await;
        record();
        audit.finish(patience).await;
        let stored = store.export(&AuditFilter::default(), None, 10).await;
        assert_eq!((stored.unwrap().len(), audit.counts().dropped()), (2, 0));
        record();
        assert_eq!(audit.counts().dropped(), 1);
        audit.close().await;
    }

    #[tokio::test]
    async fn a_task_that_panics_begins_again() {
        let runs = AtomicUsize::new(0);
        let run = || async {
            assert!(runs.fetch_add(1, Relaxed) > 0, "the first one fails");
        };
        supervise("test", run).await;
        assert_eq!(runs.load(Relaxed), 2);
    }

    #[test]
    fn refusals_and_failures_of_one_network_are_bounded() {
        let audit = Audit::off();
        let is_too_often = |address: u16| {
            let address = format!("2001:db8::{address:x}").parse().unwrap();
            let record = Record::new("session.sign_in", AuditOutcome::Failed);
            audit.is_too_often(&record.from_address(address))
        };
        let recorded = (0..100).filter(|number| !is_too_often(*number)).count();
        assert_eq!(recorded, 60);
    }
}
