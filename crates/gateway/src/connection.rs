//! One client: its transport, its queue, its namespaces and its subscriptions.
//!
//! This is the kilobyte that counts. Whatever only some connections need, or need only for a moment, is boxed or
//! allocated when it is there: request parts, handler futures, partial frames, acks of requests, the queue.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use engineioxide_core::{Sid, Str};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;
use socketioxide_core::parser::ParserState;
use tokio::{net::TcpStream, sync::oneshot};

use crate::{
    close::CloseReason,
    frame::Frame,
    gateway::Shared,
    handler::{Reply, Session},
    hub::{JoinError, Membership},
    outbox::{Outbox, Push, REPLY, TopicId, Transport},
    socket::Socket,
};

pub(crate) struct Connection {
    sid: Sid,
    address: IpAddr,
    gateway: Arc<Shared>,
    /// The socket, once the transport is WebSocket. Written from any thread; read by the connection's task.
    stream: OnceLock<TcpStream>,
    outbox: Mutex<Outbox>,
    /// The connection's task.
    waker: AtomicWaker,
    closed: OnceLock<CloseReason>,
    torn_down: AtomicBool,
    sockets: Mutex<Sockets>,
    /// `None` once the connection has ended, so that nothing subscribes any more.
    topics: Mutex<Option<Vec<Membership>>>,
    /// A packet whose attachments have not all arrived.
    partial: Mutex<Option<Box<ParserState>>>,
    requests: Mutex<Option<Box<Requests>>>,
    pub(crate) heartbeat: crate::heartbeat::Heartbeat,
    /// Events whose ack is outstanding.
    in_flight: AtomicU32,
    /// Theoretical arrival time of the next event, in microseconds since the gateway's start (GCRA).
    next_event: AtomicU64,
    flusher: u16,
    /// A POST is being handled, or an upgrade is under way (polling only).
    pub(crate) posting: AtomicBool,
    pub(crate) upgrading: AtomicBool,
}

/// The namespaces of a connection. Keys are never used twice, so a stale handle can't reach a later namespace.
struct Sockets {
    next_key: u16,
    list: SmallVec<[NamespaceSocket; 1]>,
}

struct NamespaceSocket {
    key: u16,
    namespace: Str,
    sid: Sid,
    session: Arc<dyn Session>,
}

/// Requests to the client that it hasn't answered.
#[derive(Default)]
struct Requests {
    next_id: i64,
    waiting: HashMap<i64, oneshot::Sender<Reply>>,
}

/// Unanswered requests to one client.
const MAX_REQUESTS: usize = 256;

/// What the rate of a connection's events allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    Refused,
    Abuse,
}

impl Connection {
    pub(crate) fn new(
        gateway: Arc<Shared>,
        sid: Sid,
        address: IpAddr,
        stream: Option<TcpStream>,
    ) -> Arc<Self> {
        let transport = if stream.is_some() {
            Transport::WebSocket
        } else {
            Transport::Polling
        };
        let flusher = gateway.hub.assign_flusher() as u16;
        let heartbeat = crate::heartbeat::Heartbeat::new(gateway.now_millis());
        Arc::new(Self {
            sid,
            address,
            stream: stream.map_or_else(OnceLock::new, OnceLock::from),
            outbox: Mutex::new(Outbox::new(transport)),
            waker: AtomicWaker::new(),
            closed: OnceLock::new(),
            torn_down: AtomicBool::new(false),
            sockets: Mutex::new(Sockets {
                next_key: 0,
                list: SmallVec::new(),
            }),
            topics: Mutex::new(Some(Vec::new())),
            partial: Mutex::new(None),
            requests: Mutex::new(None),
            heartbeat,
            in_flight: AtomicU32::new(0),
            next_event: AtomicU64::new(0),
            flusher,
            posting: AtomicBool::new(false),
            upgrading: AtomicBool::new(false),
            gateway,
        })
    }

    pub(crate) fn sid(&self) -> Sid {
        self.sid
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn gateway(&self) -> &Arc<Shared> {
        &self.gateway
    }

    pub(crate) fn flusher(&self) -> usize {
        usize::from(self.flusher)
    }

    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.get()
    }

    pub(crate) fn waker(&self) -> &AtomicWaker {
        &self.waker
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed.get().copied()
    }

    pub(crate) fn outbox(&self) -> parking_lot::MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    // Sending.

    /// Queues a frame of a topic; the caller flushes what turns [`Push::Dirty`].
    pub(crate) fn queue(self: &Arc<Self>, frame: &Frame, topic: TopicId) -> Push {
        let pushed = self
            .outbox
            .lock()
            .push(frame, topic, self.gateway.config.max_queue);
        match pushed {
            Push::Queued | Push::Dirty => {}
            Push::Dropped => self.gateway.stats().frame_dropped(),
            Push::Lagging => {
                let connection = self.clone();
                self.gateway
                    .hub
                    .runtime()
                    .spawn(async move { connection.tell_lag() });
            }
            Push::Full => self.close(CloseReason::SlowConsumer),
        }
        pushed
    }

    /// Queues a frame for this connection alone.
    pub(crate) fn send(self: &Arc<Self>, frame: &Frame) {
        if self.queue(frame, REPLY) == Push::Dirty {
            self.gateway.hub.flush_later(self);
        }
    }

    /// Writes what is queued until it's written or the socket takes no more; never waits.
    pub(crate) fn flush(self: &Arc<Self>) {
        loop {
            let Some(mut batch) = self.outbox.lock().begin_flush() else {
                return;
            };
            let Some(stream) = self.stream.get() else {
                return;
            };
            match batch.write(|slices| stream.try_write_vectored(slices)) {
                Ok((written, blocked)) => {
                    let more = self.outbox.lock().end_flush(batch, written, blocked);
                    if blocked {
                        // Its task waits for the socket and flushes the rest.
                        self.waker.wake();
                    }
                    if !more {
                        return;
                    }
                }
                Err(_) => {
                    self.close(CloseReason::TransportError);
                    return;
                }
            }
        }
    }

    /// Ends the subscriptions whose backlog was dropped and sends what the application says to that.
    fn tell_lag(self: &Arc<Self>) {
        loop {
            let Some(topic) = self.outbox.lock().first_lagging() else {
                break;
            };
            for membership in self.take_memberships(|m| m.topic.id == topic) {
                self.gateway.stats().topic_lagged();
                let told = self
                    .session(membership.socket)
                    .and_then(|session| session.lagging(&membership.topic.name));
                self.gateway.hub.remove(membership);
                if let Some(frame) = told {
                    self.send(&frame);
                }
            }
            self.outbox.lock().lag_told(topic);
        }
        // What else was queued when the lag began hasn't been announced to a flusher.
        self.gateway.hub.flush_later(self);
    }

    pub(crate) fn is_lagging(&self, topic: TopicId) -> bool {
        self.outbox.lock().is_lagging(topic)
    }

    // Receiving.

    /// Whether the client reads its answers so slowly that its requests have to wait.
    pub(crate) fn is_congested(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.is_blocked() && outbox.bytes() > self.gateway.config.max_queue / 2
    }

    /// Takes one event into account.
    pub(crate) fn admit(&self) -> Admission {
        let config = &self.gateway.config;
        let interval = 1_000_000 / u64::from(config.events_per_second.max(1));
        let now = self.gateway.now_micros();
        // Only the task, or the one POST, of this connection comes here.
        let next = self.next_event.load(Ordering::Relaxed).max(now) + interval;
        self.next_event.store(next, Ordering::Relaxed);
        let ahead = (next - now) / interval;
        let burst = u64::from(config.event_burst);
        if ahead > burst + u64::from(config.event_abuse) {
            Admission::Abuse
        } else if ahead > burst || self.in_flight.load(Ordering::Relaxed) >= config.max_in_flight {
            Admission::Refused
        } else {
            Admission::Admitted
        }
    }

    pub(crate) fn event_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event_ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn take_partial(&self) -> Option<Box<ParserState>> {
        self.partial.lock().take()
    }

    pub(crate) fn keep_partial(&self, state: Box<ParserState>) {
        *self.partial.lock() = Some(state);
    }

    /// Registers a request to the client; `None` if too many are unanswered.
    pub(crate) fn begin_request(&self) -> Option<(i64, oneshot::Receiver<Reply>)> {
        let mut requests = self.requests.lock();
        let requests = requests.get_or_insert_default();
        if requests.waiting.len() >= MAX_REQUESTS {
            return None;
        }
        let id = requests.next_id;
        requests.next_id += 1;
        let (sender, receiver) = oneshot::channel();
        requests.waiting.insert(id, sender);
        Some((id, receiver))
    }

    pub(crate) fn end_request(&self, id: i64) -> Option<oneshot::Sender<Reply>> {
        let mut slot = self.requests.lock();
        let requests = slot.as_mut()?;
        let sender = requests.waiting.remove(&id);
        if requests.waiting.is_empty() {
            requests.waiting.shrink_to_fit();
        }
        sender
    }

    // Namespaces.

    pub(crate) fn find_socket(&self, namespace: &str) -> Option<u16> {
        self.sockets
            .lock()
            .list
            .iter()
            .find(|s| *s.namespace == *namespace)
            .map(|s| s.key)
    }

    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.lock().list.len()
    }

    /// Registers a namespace; the connection may have ended meanwhile.
    pub(crate) fn add_socket(
        self: &Arc<Self>,
        namespace: &str,
        session: Arc<dyn Session>,
    ) -> Option<(Socket, Sid)> {
        let mut sockets = self.sockets.lock();
        if self.torn_down.load(Ordering::Acquire) {
            return None;
        }
        let key = sockets.next_key;
        sockets.next_key = key.checked_add(1)?;
        let sid = Sid::new();
        sockets.list.push(NamespaceSocket {
            key,
            namespace: if namespace == "/" {
                Str::from("/")
            } else {
                Str::copy_from_slice(namespace)
            },
            sid,
            session,
        });
        Some((Socket::new(self.clone(), key), sid))
    }

    pub(crate) fn namespaces(&self) -> SmallVec<[(u16, Str); 2]> {
        let sockets = self.sockets.lock();
        sockets
            .list
            .iter()
            .map(|s| (s.key, s.namespace.clone()))
            .collect()
    }

    pub(crate) fn session(&self, key: u16) -> Option<Arc<dyn Session>> {
        self.sockets
            .lock()
            .list
            .iter()
            .find(|s| s.key == key)
            .map(|s| s.session.clone())
    }

    pub(crate) fn namespace(&self, key: u16) -> Option<(Str, Sid)> {
        self.sockets
            .lock()
            .list
            .iter()
            .find(|s| s.key == key)
            .map(|s| (s.namespace.clone(), s.sid))
    }

    /// Ends one namespace: its subscriptions, then its session, which is told. `None` if it has ended already.
    pub(crate) fn end_socket(self: &Arc<Self>, key: u16, reason: CloseReason) -> Option<Str> {
        let ended = {
            let mut sockets = self.sockets.lock();
            let index = sockets.list.iter().position(|s| s.key == key)?;
            let ended = sockets.list.remove(index);
            if sockets.list.is_empty() {
                self.heartbeat
                    .left_last_namespace(self.gateway.now_millis());
            }
            ended
        };
        let memberships = self.take_memberships(|m| m.socket == key);
        let topics: SmallVec<[Arc<str>; 4]> =
            memberships.iter().map(|m| m.topic.name.clone()).collect();
        for membership in memberships {
            self.gateway.hub.remove(membership);
        }
        ended
            .session
            .disconnected(&Socket::new(self.clone(), key), &topics, reason);
        Some(ended.namespace)
    }

    // Subscriptions.

    /// Subscribes namespace `socket` to `topic`; false if it was subscribed already.
    pub(crate) fn join(
        self: &Arc<Self>,
        topic: &str,
        socket: u16,
        tag: u64,
    ) -> Result<bool, JoinError> {
        let mut topics = self.topics.lock();
        let Some(list) = topics.as_mut() else {
            return Err(JoinError::Closed);
        };
        if let Some(found) = list
            .iter()
            .find(|m| m.socket == socket && *m.topic.name == *topic)
        {
            return if self.is_lagging(found.topic.id) {
                Err(JoinError::Lagging)
            } else {
                Ok(false)
            };
        }
        if list.len() >= self.gateway.config.max_topics {
            return Err(JoinError::TooMany);
        }
        if !self.sockets.lock().list.iter().any(|s| s.key == socket) {
            return Err(JoinError::Closed);
        }
        let membership = self.gateway.hub.insert(topic, self, socket, tag)?;
        list.push(membership);
        Ok(true)
    }

    /// Ends a subscription; false if there was none.
    pub(crate) fn leave(self: &Arc<Self>, topic: &str, socket: u16) -> bool {
        let left = self.take_memberships(|m| m.socket == socket && *m.topic.name == *topic);
        let any = !left.is_empty();
        for membership in left {
            self.gateway.hub.remove(membership);
        }
        any
    }

    pub(crate) fn is_subscribed(&self, topic: &str, socket: u16) -> bool {
        self.topics
            .lock()
            .iter()
            .flatten()
            .any(|m| m.socket == socket && *m.topic.name == *topic)
    }

    fn take_memberships(&self, which: impl Fn(&Membership) -> bool) -> SmallVec<[Membership; 4]> {
        let mut topics = self.topics.lock();
        let Some(list) = topics.as_mut() else {
            return SmallVec::new();
        };
        let taken = list.extract_if(.., |m| which(m)).collect();
        if list.is_empty() {
            *list = Vec::new();
        }
        taken
    }

    // The end.

    /// Becomes a WebSocket connection; false if it has ended meanwhile.
    pub(crate) fn upgrade(self: &Arc<Self>, stream: TcpStream) -> bool {
        let mut outbox = self.outbox.lock();
        if self.closed.get().is_some() || self.stream.set(stream).is_err() {
            return false;
        }
        if outbox.switch_to_websocket() {
            drop(outbox);
            self.gateway.hub.flush_later(self);
        }
        true
    }

    /// Ends the connection; the first reason counts. Safe under any lock but the outbox': the work is done elsewhere.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        if self.closed.set(reason).is_err() {
            return;
        }
        let transport = {
            let mut outbox = self.outbox.lock();
            outbox.wake_poll();
            outbox.transport()
        };
        if transport == Transport::WebSocket {
            self.waker.wake();
        } else {
            let connection = self.clone();
            self.gateway
                .hub
                .runtime()
                .spawn(async move { connection.tear_down() });
        }
    }

    /// Leaves the registry and all topics and tells the sessions. Once.
    pub(crate) fn tear_down(self: &Arc<Self>) {
        if self.torn_down.swap(true, Ordering::AcqRel) {
            return;
        }
        let reason = self.closed().unwrap_or(CloseReason::TransportError);
        self.gateway.remove(self.sid, reason);
        if self.stream.get().is_none() {
            // A WebSocket's task writes the rest first and closes the outbox itself.
            self.outbox.lock().close();
        }
        *self.requests.lock() = None;
        self.take_partial();
        let keys: SmallVec<[u16; 4]> = self.sockets.lock().list.iter().map(|s| s.key).collect();
        for key in keys {
            self.end_socket(key, reason);
        }
        let rest = self.topics.lock().take();
        for membership in rest.into_iter().flatten() {
            self.gateway.hub.remove(membership);
        }
    }
}
