//! The bus over Redis: sharded publish and subscribe.
//!
//! A topic has a channel of its own in the slot of its partition: a message costs only the shard that the channel lies
//! on and the instances that subscribe to it, and more shards carry more. (The usual adapters send every message of a
//! namespace to every instance, through one slot.) What is sent while a batch is on its way is gathered: messages of
//! one topic go in one envelope, envelopes of all topics in one pipeline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gateway::InstanceId;
use indexmap::IndexMap;
use redis_client::{Command, Incoming, Received, RedisClient, Subscriber, cmd, partition_of};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    EVERYBODY,
    channels::Channels,
    codec::{self, Message},
    envelope::{BUS_VERSION, Envelopes},
    interests::{Interest, Interests},
    losses::{LossNotice, Losses},
    receivers::{Lost, Receivers},
};
use crate::auth::signing_secret::SigningSecret;

/// Messages in the send queue, and their bytes; beyond that they are dropped, which is counted. A second without Redis at
/// a high rate.
const QUEUE: usize = 65_536;
const QUEUE_BYTES: usize = 64 << 20;

/// Between two attempts to report lost messages.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Messages gathered for one pipeline, and bytes for one envelope.
const BATCH: usize = 1_024;
const ENVELOPE: usize = 64 << 10;

/// Envelopes received and not yet handed over, in each of the receiving queues.
const RECEIVE_QUEUE: usize = 1_024;

/// How long an instance that stops waits for its last messages to be sent.
const FLUSH: Duration = Duration::from_secs(1);

/// Counters of the bus, from the start of the process.
#[derive(Debug, Default)]
pub struct BusStats {
    /// Messages to send.
    pub sent: AtomicU64,
    /// Of these, dropped because the queue was full, or not acknowledged by Redis.
    pub dropped: AtomicU64,
    /// Envelopes received from other instances.
    pub received: AtomicU64,
    /// Envelopes refused: not signed by the fleet, malformed, or of an unknown version.
    pub refused: AtomicU64,
    /// Times that messages may have been lost on the way here, and what depends on them was compared.
    pub interruptions: AtomicU64,
}

/// The connection to the other instances.
pub struct Link {
    shared: Arc<Shared>,
    interests: Arc<Interests>,
    outgoing: mpsc::Sender<Outgoing>,
    client: RedisClient,
}

struct Shared {
    envelopes: Envelopes,
    channels: Channels,
    version: AtomicU8,
    queued_bytes: AtomicUsize,
    /// Messages that Redis hasn't acknowledged.
    unsent: AtomicUsize,
    losses: Losses,
    stats: BusStats,
}

struct Outgoing {
    topic: String,
    bytes: Vec<u8>,
}

/// The tasks of a [`Link`].
pub struct LinkTasks {
    shared: Arc<Shared>,
    /// For messages to all instances.
    everybody: Interest,
    client: RedisClient,
    outgoing: mpsc::Receiver<Outgoing>,
    incoming: Incoming,
}

impl Link {
    /// A link whose keys begin with `prefix`. `subscriber` and `incoming` belong together.
    pub fn new(
        client: RedisClient,
        (subscriber, incoming): (Subscriber, Incoming),
        secret: &SigningSecret,
        own: InstanceId,
        prefix: &str,
    ) -> (Self, LinkTasks) {
        let (sender, outgoing) = mpsc::channel(QUEUE);
        let channels = Channels::new(prefix);
        let shared = Arc::new(Shared {
            envelopes: Envelopes::new(secret, own),
            channels: channels.clone(),
            version: AtomicU8::new(BUS_VERSION),
            queued_bytes: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            losses: Losses::default(),
            stats: BusStats::default(),
        });
        let link = Self {
            interests: Arc::new(Interests::new(channels, subscriber)),
            shared,
            outgoing: sender,
            client: client.clone(),
        };
        let tasks = LinkTasks {
            shared: link.shared.clone(),
            everybody: link.interest(EVERYBODY),
            client,
            outgoing,
            incoming,
        };
        (link, tasks)
    }

    /// Counters.
    pub fn stats(&self) -> &BusStats {
        &self.shared.stats
    }

    /// True if all subscriptions are active.
    pub fn is_connected(&self) -> bool {
        self.interests.is_connected()
    }

    /// Sets the version to write: the lowest that an instance of the fleet knows.
    pub fn write_version(&self, lowest: u8) {
        let version = lowest.min(BUS_VERSION);
        self.shared.version.store(version, Ordering::Relaxed);
    }

    pub(super) fn send(&self, topic: &str, message: &impl Message) {
        let Shared {
            stats,
            queued_bytes,
            ..
        } = &*self.shared;
        stats.sent.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Vec::new();
        codec::append(&mut bytes, message);
        let length = bytes.len();
        let waiting = queued_bytes.fetch_add(length, Ordering::Relaxed) + length;
        self.shared.unsent.fetch_add(1, Ordering::AcqRel);
        let outgoing = Outgoing {
            topic: topic.to_owned(),
            bytes,
        };
        if waiting > QUEUE_BYTES || self.outgoing.try_send(outgoing).is_err() {
            queued_bytes.fetch_sub(length, Ordering::Relaxed);
            self.shared.unsent.fetch_sub(1, Ordering::AcqRel);
            stats.dropped.fetch_add(1, Ordering::Relaxed);
            self.shared.losses.add(topic);
        }
    }

    pub(super) fn interest(&self, topic: &str) -> Interest {
        self.interests.register(topic)
    }

    pub(super) async fn flush(&self) {
        let deadline = tokio::time::Instant::now() + FLUSH;
        while self.shared.unsent.load(Ordering::Acquire) > 0
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// True if an instance is interested in a topic, this one included.
    pub(super) async fn has_listeners(&self, topic: &str) -> bool {
        let channel = self.shared.channels.of_topic(topic);
        let mut ask = cmd("PUBSUB");
        ask.arg("SHARDNUMSUB").arg(channel);
        let counts = self.client.run_on_masters::<(String, u64)>(ask).await;
        counts.is_ok_and(|counts| counts.iter().any(|(_, count)| *count > 0))
    }

    /// Topics that this instance is interested in.
    pub fn topics(&self) -> usize {
        self.interests.len()
    }
}

impl Shared {
    /// Publishes the batch, behind the reports of losses.
    async fn publish(&self, client: &RedisClient, batch: &mut Vec<Outgoing>) {
        let gathered = batch.len();
        let losses = self.losses.take();
        let all_lost = matches!(losses.as_slice(), [(_, LossNotice { all: true })]);
        let version = self.version.load(Ordering::Relaxed);
        let mut open: IndexMap<String, (Vec<u8>, u64)> = IndexMap::new();
        let mut commands: Vec<Command> = Vec::new();
        let mut counts: Vec<(String, u64)> = Vec::new();
        let mut close = |topic: String, (mut bytes, count): (Vec<u8>, u64)| {
            let channel = self.channels.of_topic(&topic);
            self.envelopes.seal(&channel, &mut bytes);
            commands.push(cmd("SPUBLISH").arg(channel).arg(bytes).into());
            counts.push((topic, count));
        };
        for (topic, lost) in losses {
            let mut envelope = self.envelopes.open_new(version, 0);
            codec::append(&mut envelope, &lost);
            open.insert(topic, (envelope, 0));
        }
        for Outgoing { topic, bytes } in batch.drain(..) {
            self.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            let full = open
                .get(&topic)
                .is_some_and(|(envelope, _)| envelope.len() + bytes.len() > ENVELOPE);
            if full && let Some(envelope) = open.shift_remove(&topic) {
                close(topic.clone(), envelope);
            }
            let (envelope, count) = open
                .entry(topic)
                .or_insert_with(|| (self.envelopes.open_new(version, bytes.len()), 0));
            envelope.extend_from_slice(&bytes);
            *count += 1;
        }
        for (topic, envelope) in open {
            close(topic, envelope);
        }
        let results = client.run_all::<u32>(commands).await;
        for (result, (topic, count)) in results.into_iter().zip(counts) {
            if let Err(error) = result {
                tracing::debug!(%error, "messages of the bus were not taken");
                self.stats.dropped.fetch_add(count, Ordering::Relaxed);
                self.losses.add(&topic);
                if all_lost && topic == EVERYBODY {
                    self.losses.add_all();
                }
            }
        }
        self.unsent.fetch_sub(gathered, Ordering::AcqRel);
    }
}

impl LinkTasks {
    /// Sends and receives, for ever.
    pub async fn run(self, receivers: Receivers) {
        let (shared, receivers) = (self.shared, Arc::new(receivers));
        let mut tasks = JoinSet::new();
        tasks.spawn(send(shared.clone(), self.client, self.outgoing));
        let queues = std::thread::available_parallelism().map_or(1, usize::from);
        let queues: Vec<_> = (0..queues)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(RECEIVE_QUEUE);
                tasks.spawn(receive(shared.clone(), receivers.clone(), receiver));
                sender
            })
            .collect();
        tasks.spawn(distribute(self.incoming, queues));
        let everybody = self.everybody;
        everybody.confirmed().await;
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the bus failed");
            }
        }
    }
}

async fn send(shared: Arc<Shared>, client: RedisClient, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let gathering = outgoing.recv_many(&mut batch, BATCH);
        if shared.losses.is_empty() {
            if gathering.await == 0 {
                return;
            }
        } else if let Ok(0) = tokio::time::timeout(REPORT_EVERY, gathering).await {
            return;
        }
        shared.publish(&client, &mut batch).await;
    }
}

/// A channel's messages always go to the same queue, which keeps their order. An interruption may go to any: it only marks
/// what is to be compared.
async fn distribute(mut incoming: Incoming, queues: Vec<mpsc::Sender<Received>>) {
    while let Some(received) = incoming.recv().await {
        let sent = match &received {
            Received::Message { channel, .. } => {
                let queue = partition_of(channel) as usize % queues.len();
                queues[queue].send(received).await
            }
            Received::Interrupted(_) => queues[0].send(received).await,
            Received::PatternMessage { .. } => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn receive(
    shared: Arc<Shared>,
    receivers: Arc<Receivers>,
    mut queue: mpsc::Receiver<Received>,
) {
    while let Some(received) = queue.recv().await {
        match received {
            Received::Message { channel, payload } => {
                shared.stats.received.fetch_add(1, Ordering::Relaxed);
                let Some(topic) = shared.channels.topic_of(&channel) else {
                    continue;
                };
                match shared.envelopes.open(&channel, &payload) {
                    Ok(Some(messages)) => {
                        let interrupted = || shared.count_interruption();
                        if let Err(error) = receivers.receive(topic, messages, interrupted) {
                            shared.refuse(&channel, &error);
                        }
                    }
                    Ok(None) => {}
                    Err(reason) => shared.refuse(&channel, &reason),
                }
            }
            Received::Interrupted(interrupted) => {
                shared.count_interruption();
                receivers.interrupted(&match &interrupted {
                    redis_client::Interrupted::All => Lost::All,
                    redis_client::Interrupted::Channels(channels) => {
                        let topics = channels
                            .iter()
                            .filter_map(|channel| shared.channels.topic_of(channel));
                        Lost::Of(topics.collect())
                    }
                });
            }
            Received::PatternMessage { .. } => {}
        }
    }
}

impl Shared {
    fn count_interruption(&self) {
        self.stats.interruptions.fetch_add(1, Ordering::Relaxed);
    }

    fn refuse(&self, channel: &str, reason: &dyn std::fmt::Display) {
        let refused = self.stats.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // Anybody with access to Redis may send many.
        if refused.is_power_of_two() {
            tracing::warn!(channel, %reason, refused, "an envelope of the bus was refused");
        }
    }
}
