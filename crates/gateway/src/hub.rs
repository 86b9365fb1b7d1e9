//! Topics and publishing to them.
//!
//! A topic holds direct handles to its subscribers' connections. Subscribing and leaving are O(1); publishing queues
//! one shared frame on each subscriber under the topic's lock, so all subscribers see the topic's frames in one order,
//! and leaves the writing to the flushers. Locks are taken in the order connection's topics → map shard → topic →
//! outbox, and none is held during a system call or while application code runs.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use dashmap::DashMap;
use indexmap::IndexMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::runtime::Handle;

use crate::{
    connection::Connection,
    flusher::Flusher,
    frame::Frame,
    outbox::{Push, TopicId},
    socket::Socket,
    stats::Stats,
};

/// The topics of a process, shared by its gateways. Cloning copies a pointer.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    topics: DashMap<Arc<str>, Arc<Topic>>,
    next_id: AtomicU32,
    flushers: Vec<Arc<Flusher>>,
    next_flusher: AtomicU32,
    runtime: Handle,
    stats: Stats,
}

pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    /// The application's mark of each subscriber; see [`Hub::publish_variant`]. Roughly in the order of their coming:
    /// walking them in any other costs a tenth more, all of it cache misses, here and in the kernel.
    members: Mutex<IndexMap<Member, u64>>,
}

#[derive(Clone)]
struct Member {
    connection: Arc<Connection>,
    /// The subscriber's namespace on its connection.
    socket: u16,
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.socket == other.socket && Arc::ptr_eq(&self.connection, &other.connection)
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.connection), self.socket).hash(state);
    }
}

/// A subscription of one namespace of a connection.
pub(crate) struct Membership {
    pub(crate) topic: Arc<Topic>,
    pub(crate) socket: u16,
}

/// Why a subscription wasn't made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The connection, or its namespace, has ended.
    #[error("the connection is closed")]
    Closed,
    /// The connection has `max_topics` subscriptions.
    #[error("too many subscriptions on this connection")]
    TooMany,
    /// The connection fell behind on this topic and is being told so; try again.
    #[error("the connection fell behind")]
    Lagging,
}

impl Hub {
    /// A hub whose flushers run on the current tokio runtime, one for each of `worker_threads` (all cores if `None`).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(worker_threads: Option<usize>) -> Self {
        let count = worker_threads
            .or_else(|| thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        let flushers: Vec<_> = (0..count).map(|_| Arc::<Flusher>::default()).collect();
        for flusher in &flushers {
            tokio::spawn(flusher.clone().run());
        }
        Self(Arc::new(Inner {
            topics: DashMap::new(),
            next_id: AtomicU32::new(1),
            flushers,
            next_flusher: AtomicU32::new(0),
            runtime: Handle::current(),
            stats: Stats::default(),
        }))
    }

    /// Counters of all gateways of this hub.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Queues `frame` for every subscriber of `topic` and returns how many there are.
    ///
    /// Calls from several threads for one topic must be ordered by the caller if their order matters.
    pub fn publish(&self, topic: &str, frame: &Frame) -> usize {
        self.deliver(topic, |_| frame)
    }

    /// As [`publish`](Self::publish), with another frame for the subscribers marked `tag`, such as all
    /// connections of an event's sender.
    pub fn publish_variant(&self, topic: &str, frame: &Frame, tag: u64, variant: &Frame) -> usize {
        self.deliver(topic, |marked| if marked == tag { variant } else { frame })
    }

    fn deliver<'a>(&self, topic: &str, frame: impl Fn(u64) -> &'a Frame) -> usize {
        let Some(topic) = self.topic(topic) else {
            return 0;
        };
        let mut dirty: SmallVec<[Vec<Arc<Connection>>; 8]> = SmallVec::new();
        dirty.resize_with(self.0.flushers.len(), Vec::new);
        let members = topic.members.lock();
        let recipients = members.len();
        for (member, tag) in members.iter() {
            if member.connection.queue(frame(*tag), topic.id) == Push::Dirty {
                dirty[member.connection.flusher()].push(member.connection.clone());
            }
        }
        drop(members);
        for (flusher, connections) in self.0.flushers.iter().zip(&mut dirty) {
            flusher.add_all(connections);
        }
        self.0.stats.delivered(recipients);
        recipients
    }

    /// Queues `frame` once for every socket that subscribes to any of `topics` and to none of `except`, and returns how
    /// many there are. Subscribers may see it before or after other frames that are published meanwhile, but frames of one
    /// caller in their order.
    #[expect(
        clippy::mutable_key_type,
        reason = "a member is hashed and compared by its connection's address"
    )]
    pub fn publish_to_any(&self, topics: &[&str], except: &[&str], frame: &Frame) -> usize {
        if let ([topic], []) = (topics, except) {
            return self.publish(topic, frame);
        }
        let mut left_out: HashSet<Member> = HashSet::new();
        for topic in except.iter().filter_map(|name| self.topic(name)) {
            left_out.extend(topic.members.lock().keys().cloned());
        }
        let mut recipients: IndexMap<Member, TopicId> = IndexMap::new();
        for topic in topics.iter().filter_map(|name| self.topic(name)) {
            for member in topic.members.lock().keys() {
                if !left_out.contains(member) {
                    recipients.entry(member.clone()).or_insert(topic.id);
                }
            }
        }
        for (member, topic) in &recipients {
            if member.connection.queue(frame, *topic) == Push::Dirty {
                self.flush_later(&member.connection);
            }
        }
        self.0.stats.delivered(recipients.len());
        recipients.len()
    }

    /// The topic, with the shard's lock released.
    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.topics.get(name).map(|entry| entry.value().clone())
    }

    /// How many sockets subscribe to `topic`.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0
            .topics
            .get(topic)
            .map_or(0, |topic| topic.members.lock().len())
    }

    /// The sockets that subscribe to `topic` now.
    pub fn sockets(&self, topic: &str) -> Vec<Socket> {
        let Some(topic) = self.topic(topic) else {
            return Vec::new();
        };
        let members = topic.members.lock();
        members
            .keys()
            .map(|member| Socket::new(member.connection.clone(), member.socket))
            .collect()
    }

    /// Number of topics with a subscriber.
    pub fn topics(&self) -> usize {
        self.0.topics.len()
    }

    /// Adds `connection` to the topic; the caller holds the connection's list of topics.
    pub(crate) fn insert(
        &self,
        topic: &str,
        connection: &Arc<Connection>,
        socket: u16,
        tag: u64,
    ) -> Result<Membership, JoinError> {
        // The shard's lock is held until the member is in, so that an emptied topic can't be removed in between.
        let entry = match self.0.topics.get(topic) {
            Some(topic) => topic,
            None => {
                let name: Arc<str> = topic.into();
                self.0
                    .topics
                    .entry(name.clone())
                    .or_insert_with(|| {
                        Arc::new(Topic {
                            id: self.next_id(),
                            name,
                            members: Mutex::default(),
                        })
                    })
                    .downgrade()
            }
        };
        let topic = entry.value().clone();
        if connection.is_lagging(topic.id) {
            return Err(JoinError::Lagging);
        }
        let connection = connection.clone();
        let member = Member { connection, socket };
        topic.members.lock().insert(member, tag);
        Ok(Membership { topic, socket })
    }

    fn next_id(&self) -> TopicId {
        loop {
            // Wraps after 4 billion topics; 0 is taken by replies.
            let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
            if id != crate::outbox::REPLY {
                return id;
            }
        }
    }

    /// Takes a connection out of a topic, and the topic out of the hub if it was the last one.
    pub(crate) fn remove(&self, connection: &Arc<Connection>, membership: Membership) {
        let Membership { topic, socket } = membership;
        let connection = connection.clone();
        let member = Member { connection, socket };
        let empty = {
            let mut members = topic.members.lock();
            members.swap_remove(&member);
            if members.len() < members.capacity() / 8 {
                let room = members.len() * 2;
                members.shrink_to(room);
            }
            members.is_empty()
        };
        if empty {
            self.0.topics.remove_if(&topic.name, |_, found| {
                Arc::ptr_eq(found, &topic) && found.members.lock().is_empty()
            });
        }
    }

    /// The flusher of the next new connection.
    pub(crate) fn assign_flusher(&self) -> usize {
        self.0.next_flusher.fetch_add(1, Ordering::Relaxed) as usize % self.0.flushers.len()
    }

    pub(crate) fn flush_later(&self, connection: &Arc<Connection>) {
        self.0.flushers[connection.flusher()].add(connection.clone());
    }

    /// Publishing happens on threads that belong to no runtime; what it starts runs here.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::{
        Config, ConnectRequest, Event, Handled, Handler, Refusal, Session,
        context::{Context, Endpoint},
    };

    struct Nothing;

    impl Handler for Nothing {
        fn connect(
            self: Arc<Self>,
            _: ConnectRequest,
        ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
            Box::pin(async { Ok(self as Arc<dyn Session>) })
        }
    }

    impl Session for Nothing {
        fn event(self: Arc<Self>, _: Socket, _: Event) -> Handled {
            None
        }
    }

    fn context(config: Config, hub: &Hub) -> Arc<Context> {
        let endpoint = Endpoint::SocketIo(Arc::new(Nothing));
        Context::new(config, hub.clone(), endpoint, |_, _| {})
    }

    /// A socket of a polling connection that nobody polls.
    fn socket(context: &Arc<Context>) -> Socket {
        let address = Ipv4Addr::LOCALHOST.into();
        let connection = Connection::new(context.clone(), Default::default(), address, None);
        let (socket, _) = connection.add_namespace("/", Arc::new(Nothing)).unwrap();
        socket
    }

    #[tokio::test]
    async fn who_is_in_several_topics_gets_it_once() {
        let hub = Hub::new(Some(1));
        let context = context(Config::default(), &hub);
        let sockets: Vec<_> = (0..4).map(|_| socket(&context)).collect();
        for (socket, topics) in sockets
            .iter()
            .zip([&["a", "b"][..], &["a"], &["b", "c"], &["c"]])
        {
            for topic in topics {
                assert_eq!(socket.join(topic, 0), Ok(true));
            }
        }
        let queued = |topics: &[&str], except: &[&str]| {
            let frame = Frame::event("/", "e", &1).unwrap();
            let recipients = hub.publish_to_any(topics, except, &frame);
            let queued = sockets.iter().map(|socket| {
                let payload = socket.connection().outbox().take_payload(1_000);
                payload.matches("42").count()
            });
            let queued: Vec<usize> = queued.collect();
            assert_eq!(queued.iter().sum::<usize>(), recipients);
            queued
        };
        assert_eq!(queued(&["a"], &[]), [1, 1, 0, 0]);
        assert_eq!(queued(&["a", "b"], &[]), [1, 1, 1, 0]);
        assert_eq!(queued(&["b", "a", "c", "b", "none"], &[]), [1, 1, 1, 1]);
        assert_eq!(queued(&["a", "b"], &["c", "none"]), [1, 1, 0, 0]);
        assert_eq!(queued(&["a"], &["a"]), [0, 0, 0, 0]);
        assert_eq!(queued(&[], &[]), [0, 0, 0, 0]);
    }

    #[tokio::test]
    async fn what_is_reserved_is_there_when_it_is_needed() {
        let hub = Hub::new(Some(1));
        let config = Config {
            max_topics: 2,
            ..Config::default()
        };
        let context = context(config, &hub);
        let socket = socket(&context);
        assert_eq!(socket.join("a", 0), Ok(true));
        let reserved = socket.reserve().unwrap();
        assert_eq!(socket.join("b", 0), Err(JoinError::TooMany));
        assert_eq!(socket.join("a", 0), Ok(false));
        assert!(matches!(socket.reserve(), Err(JoinError::TooMany)));
        assert_eq!(reserved.join("b", 0), Ok(true));
        assert!(matches!(socket.reserve(), Err(JoinError::TooMany)));
        assert!(socket.leave("b"));
        drop(socket.reserve().unwrap());
        // For what one is subscribed to already it isn't needed.
        assert_eq!(socket.reserve().unwrap().join("a", 0), Ok(false));
        assert_eq!(socket.join("b", 0), Ok(true));
        socket.disconnect();
        assert!(matches!(socket.reserve(), Err(JoinError::Closed)));
    }

    #[tokio::test]
    async fn a_topic_is_as_large_as_those_who_stay() {
        let hub = Hub::new(Some(1));
        let context = context(Config::default(), &hub);
        let sockets: Vec<_> = (0..2_000).map(|_| socket(&context)).collect();
        for socket in &sockets {
            assert_eq!(socket.join("t", 0), Ok(true));
        }
        let (stay, leave) = sockets.split_at(10);
        for socket in leave {
            assert!(socket.leave("t"));
        }
        let capacity = || hub.0.topics.get("t").unwrap().members.lock().capacity();
        assert!(capacity() <= 128, "{}", capacity());
        let frame = Frame::event("/", "e", &1).unwrap();
        assert_eq!(hub.publish("t", &frame), 10);
        for socket in stay {
            assert!(socket.leave("t"));
        }
        assert_eq!(hub.topics(), 0);
    }
}
