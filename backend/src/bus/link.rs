//! The bus over Redis: sharded publish and subscribe.
//!
//! A topic has a channel of its own in the slot of its partition: a message costs only the shard that the channel lies
//! on and the instances that want it, and more shards carry more. (The usual adapters send every message of a
//! namespace to every instance, through one slot.) What is sent while a batch is on its way is gathered: messages of
//! one topic go in one envelope, envelopes of all topics in one pipeline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use gateway::InstanceId;
use indexmap::IndexMap;
use redis_client::{Command, Incoming, Received, RedisClient, Subscriber, cmd, partition_of, tag};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    EVERYBODY,
    envelope::{BUS_VERSION, Envelopes},
    losses::Losses,
    message::Message,
    receive,
};
use crate::{app::SharedApp, signing_secret::SigningSecret};

/// Messages that wait to be sent, and their bytes; beyond that they are dropped, which is counted. A second of Redis'
/// absence at a high rate.
const WAITING: usize = 65_536;
const WAITING_BYTES: usize = 64 << 20;

/// Between two attempts to tell the others that messages were lost.
const TELL_AGAIN: Duration = Duration::from_millis(250);

/// Messages gathered for one pipeline, and bytes for one envelope.
const BATCH: usize = 1_024;
const ENVELOPE: usize = 64 << 10;

/// What came in and waits to be worked through, in each lane.
const LANE: usize = 1_024;

/// How long an instance that ends waits for its last messages to be taken.
const SETTLE: Duration = Duration::from_secs(1);

/// What the bus has done. Numbers only grow.
#[derive(Debug, Default)]
pub struct BusStats {
    /// Messages given to it.
    pub sent: AtomicU64,
    /// Of these, dropped because too many waited, or because Redis didn't take them.
    pub dropped: AtomicU64,
    /// Envelopes of other instances that came.
    pub received: AtomicU64,
    /// Envelopes that nobody of the fleet has written, or of an unknown version.
    pub refused: AtomicU64,
    /// Times that something may have been lost on the way here, and was looked for.
    pub interruptions: AtomicU64,
}

/// The connection to the other instances.
pub struct Link {
    shared: Arc<Shared>,
    wanted: Arc<Wanted>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// The topics that somebody here wants.
struct Wanted {
    shared: Arc<Shared>,
    subscriber: Subscriber,
    /// How many want each topic. A subscription is ended under its lock.
    topics: DashMap<String, usize>,
}

/// The wish for what others send for a topic. Dropping it takes the wish back, whatever was under way.
pub struct Interest {
    wanted: Arc<Wanted>,
    topic: String,
}

impl Interest {
    /// Waits until what others send from now on arrives here. While Redis is away it returns at once: it stays wanted, and
    /// the interruption that ends with the return of Redis makes up for it.
    pub async fn confirmed(&self) {
        let channel = self.wanted.shared.channel(&self.topic);
        if let Err(error) = self.wanted.subscriber.subscribe(&channel).await {
            tracing::debug!(%error, "a topic is not subscribed yet");
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let topic = std::mem::take(&mut self.topic);
        let channel = self.wanted.shared.channel(&topic);
        if let Entry::Occupied(mut wanting) = self.wanted.topics.entry(topic) {
            *wanting.get_mut() -= 1;
            if *wanting.get() == 0 {
                // Under the entry's lock: whoever wants it next subscribes behind this.
                self.wanted.subscriber.unsubscribe(&channel);
                wanting.remove();
            }
        }
    }
}

struct Shared {
    envelopes: Envelopes,
    prefix: String,
    version: AtomicU8,
    waiting_bytes: AtomicUsize,
    /// Messages that Redis hasn't answered for.
    unsent: AtomicUsize,
    losses: Losses,
    stats: BusStats,
}

struct Outgoing {
    topic: String,
    bytes: Vec<u8>,
}

/// What has to run for a [`Link`] to work.
pub struct Traffic {
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
    ) -> (Self, Traffic) {
        let (sender, outgoing) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            envelopes: Envelopes::new(secret, own),
            prefix: prefix.to_owned(),
            version: AtomicU8::new(BUS_VERSION),
            waiting_bytes: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            losses: Losses::default(),
            stats: BusStats::default(),
        });
        let link = Self {
            wanted: Arc::new(Wanted {
                shared: shared.clone(),
                subscriber,
                topics: DashMap::new(),
            }),
            shared,
            outgoing: sender,
        };
        let traffic = Traffic {
            client,
            outgoing,
            incoming,
        };
        (link, traffic)
    }

    /// Counters.
    pub fn stats(&self) -> &BusStats {
        &self.shared.stats
    }

    /// Whether every subscription stands.
    pub fn is_connected(&self) -> bool {
        self.wanted.subscriber.is_connected()
    }

    /// The lowest version that an instance of the fleet writes: all of them read it.
    pub fn write_version(&self, lowest: u8) {
        let version = lowest.min(BUS_VERSION);
        self.shared.version.store(version, Ordering::Relaxed);
    }

    pub(super) fn send(&self, topic: &str, message: &Message<'_>) {
        let Shared {
            stats,
            waiting_bytes,
            ..
        } = &*self.shared;
        stats.sent.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        let length = bytes.len();
        let waiting = waiting_bytes.fetch_add(length, Ordering::Relaxed) + length;
        self.shared.unsent.fetch_add(1, Ordering::AcqRel);
        let outgoing = Outgoing {
            topic: topic.to_owned(),
            bytes,
        };
        if waiting > WAITING_BYTES || self.outgoing.try_send(outgoing).is_err() {
            waiting_bytes.fetch_sub(length, Ordering::Relaxed);
            self.shared.unsent.fetch_sub(1, Ordering::AcqRel);
            stats.dropped.fetch_add(1, Ordering::Relaxed);
            self.shared.losses.add(topic);
        }
    }

    /// Wants what others send for `topic`; it comes once [`Interest::confirmed`] was waited for.
    pub(super) fn want(&self, topic: &str) -> Interest {
        match self.wanted.topics.get_mut(topic) {
            Some(mut wanting) => *wanting += 1,
            None => *self.wanted.topics.entry(topic.to_owned()).or_default() += 1,
        }
        Interest {
            wanted: self.wanted.clone(),
            topic: topic.to_owned(),
        }
    }

    pub(super) async fn settle(&self) {
        let patience = tokio::time::Instant::now() + SETTLE;
        while self.shared.unsent.load(Ordering::Acquire) > 0
            && tokio::time::Instant::now() < patience
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Topics wanted now.
    pub fn topics(&self) -> usize {
        self.wanted.topics.len()
    }
}

impl Shared {
    fn channel(&self, topic: &str) -> String {
        let id = topic.split_once(':').map_or(topic, |(_, id)| id);
        let tag = tag(partition_of(id));
        format!("{{{tag}}}{}:bus:{topic}", self.prefix)
    }

    /// The topic of one of our channels.
    fn topic<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let (_, rest) = channel.split_once('}')?;
        rest.strip_prefix(self.prefix.as_str())?
            .strip_prefix(":bus:")
    }

    /// Publishes what is in `batch` behind what the others have to be told of losses.
    async fn publish(&self, client: &RedisClient, batch: &mut Vec<Outgoing>) {
        let gathered = batch.len();
        let losses = self.losses.take();
        let all_lost = matches!(losses.as_slice(), [(_, Message::Lost { all: true })]);
        let version = self.version.load(Ordering::Relaxed);
        let mut open: IndexMap<String, (Vec<u8>, u64)> = IndexMap::new();
        let mut commands: Vec<Command> = Vec::new();
        let mut counts: Vec<(String, u64)> = Vec::new();
        let mut close = |topic: String, (mut bytes, count): (Vec<u8>, u64)| {
            let channel = self.channel(&topic);
            self.envelopes.seal(&channel, &mut bytes);
            commands.push(cmd("SPUBLISH").arg(channel).arg(bytes).into());
            counts.push((topic, count));
        };
        for (topic, lost) in losses {
            let mut envelope = self.envelopes.open_new(version, 0);
            lost.write(&mut envelope);
            open.insert(topic, (envelope, 0));
        }
        for Outgoing { topic, bytes } in batch.drain(..) {
            self.waiting_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
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

impl Traffic {
    /// Carries messages both ways, for ever.
    pub async fn run(self, app: SharedApp) {
        let Some(link) = app.bus.link() else { return };
        let shared = link.shared.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(send(shared.clone(), self.client, self.outgoing));
        let lanes = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes: Vec<_> = (0..lanes)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(LANE);
                tasks.spawn(work(shared.clone(), app.clone(), receiver));
                sender
            })
            .collect();
        tasks.spawn(distribute(self.incoming, lanes));
        let everybody = link.want(EVERYBODY);
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
        } else if let Ok(0) = tokio::time::timeout(TELL_AGAIN, gathering).await {
            return;
        }
        shared.publish(&client, &mut batch).await;
    }
}

/// A channel always takes the same lane, which keeps its order. An interruption takes any: it is only noted there, and
/// what it asks for is read anew.
async fn distribute(mut incoming: Incoming, lanes: Vec<mpsc::Sender<Received>>) {
    while let Some(received) = incoming.recv().await {
        let sent = match &received {
            Received::Message { channel, .. } => {
                let lane = partition_of(channel) as usize % lanes.len();
                lanes[lane].send(received).await
            }
            Received::Interrupted(_) => lanes[0].send(received).await,
            Received::PatternMessage { .. } => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn work(shared: Arc<Shared>, app: SharedApp, mut lane: mpsc::Receiver<Received>) {
    while let Some(received) = lane.recv().await {
        match received {
            Received::Message { channel, payload } => {
                shared.stats.received.fetch_add(1, Ordering::Relaxed);
                let Some(topic) = shared.topic(&channel) else {
                    continue;
                };
                match shared.envelopes.open(&channel, &payload) {
                    Ok(Some(messages)) => {
                        if receive::all(&app, topic, messages).is_err() {
                            shared.refuse(&channel, &"malformed");
                        }
                    }
                    Ok(None) => {}
                    Err(reason) => shared.refuse(&channel, &reason),
                }
            }
            Received::Interrupted(interrupted) => {
                shared.stats.interruptions.fetch_add(1, Ordering::Relaxed);
                let topics = match &interrupted {
                    redis_client::Interrupted::All => None,
                    redis_client::Interrupted::Channels(channels) => Some(
                        channels
                            .iter()
                            .filter_map(|channel| shared.topic(channel))
                            .collect(),
                    ),
                };
                receive::interrupted(&app, topics);
            }
            Received::PatternMessage { .. } => {}
        }
    }
}

impl Shared {
    fn refuse(&self, channel: &str, reason: &dyn std::fmt::Display) {
        let refused = self.stats.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // A stranger may send many.
        if refused.is_power_of_two() {
            tracing::warn!(channel, %reason, refused, "refused what came over the bus");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_lies_with_the_keys_of_its_room_and_names_its_topic() {
        let shared = Shared {
            envelopes: Envelopes::new(
                &SigningSecret::from_bytes("secret"),
                InstanceId::new([1, 2, 3]),
            ),
            prefix: "tertulia".into(),
            version: AtomicU8::new(1),
            waiting_bytes: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            losses: Losses::default(),
            stats: BusStats::default(),
        };
        for topic in ["room:0199-a", "user:0199-a", EVERYBODY] {
            let channel = shared.channel(topic);
            assert_eq!(shared.topic(&channel), Some(topic));
        }
        let key = format!("{{{}}}key", tag(partition_of("0199-a")));
        assert_eq!(
            redis_client::slot(shared.channel("room:0199-a").as_bytes()),
            redis_client::slot(key.as_bytes())
        );
    }
}
