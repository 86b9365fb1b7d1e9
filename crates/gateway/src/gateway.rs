//! A gateway: one path of one server, its connections and its settings.

pub(crate) mod http;
pub(crate) mod internal;
pub(crate) mod tunnel;

use std::{
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use engineioxide_core::{OpenPacket, Packet, Sid, TransportType};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::{net::TcpStream, sync::watch};

use crate::{
    close::CloseReason,
    config::Config,
    connection::Connection,
    context::{Context, Endpoint},
    decoder::Decoder,
    engine::EngineHandler,
    frame::Frame,
    handler::Handler,
    handshake_error::HandshakeError,
    hub::Hub,
    instance::InstanceId,
    listener_limits::ListenerLimits,
    peers::{Peer, Peers},
    registry::Registry,
    socket::Socket,
    stats::Stats,
    totals::{ByteBudgetUse, ConnectionTotals, HttpConnections},
    websocket,
    wheel::Wheel,
};

/// Connections under one path. Cloning copies a pointer.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    context: Arc<Context>,
    registry: Arc<Registry>,
    wheel: Arc<Wheel>,
    /// WebSockets of other instances' connections that go through this one.
    pub(crate) tunnels: AtomicUsize,
    /// Of the listeners that serve this gateway.
    listeners: Mutex<Vec<Weak<ListenerLimits>>>,
    /// Whether new connections have to wait for [`Gateway::admit`].
    holding: AtomicBool,
    /// When all connections will have ended, once the end has begun.
    draining: watch::Sender<Option<tokio::time::Instant>>,
}

impl Gateway {
    /// A Socket.IO gateway on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: Config, hub: Hub, handler: Arc<dyn Handler>) -> Self {
        Self::with_endpoint(config, hub, Endpoint::SocketIo(handler))
    }

    /// A gateway for bare Engine.IO.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn engine_io(config: Config, hub: Hub, handler: Arc<dyn EngineHandler>) -> Self {
        Self::with_endpoint(config, hub, Endpoint::EngineIo(handler))
    }

    fn with_endpoint(config: Config, hub: Hub, endpoint: Endpoint) -> Self {
        let registry = Arc::<Registry>::default();
        let registered = registry.clone();
        let stats = hub.clone();
        let context = Context::new(config, hub, endpoint, move |sid, reason| {
            if registered.remove(&sid) {
                stats.stats().connection_closed(reason);
            }
        });
        let config = &context.config;
        let wheel = Arc::new(Wheel::new(
            config.ping_interval,
            config.ping_timeout,
            config.connect_timeout,
            matches!(context.endpoint, Endpoint::SocketIo(_)),
            context.clock,
        ));
        tokio::spawn(wheel.clone().run(Arc::downgrade(&registry)));
        Self(Arc::new(Shared {
            holding: AtomicBool::new(config.hold),
            context,
            registry,
            wheel,
            tunnels: AtomicUsize::new(0),
            listeners: Mutex::default(),
            draining: watch::Sender::new(None),
        }))
    }

    /// The hub whose topics this gateway's sockets subscribe to.
    pub fn hub(&self) -> &Hub {
        &self.0.context.hub
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.context.config
    }

    /// What every sid begins with.
    pub fn instance(&self) -> InstanceId {
        self.0.context.config.instance
    }

    /// The other instances, which requests that name one of their connections are passed on to.
    pub fn peers(&self) -> &Peers {
        &self.0.context.config.peers
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.0.registry.len()
    }

    /// Bytes of unfinished messages that count for the bound of all connections.
    pub fn unfinished_input(&self) -> usize {
        self.0.context.input.held() + self.0.context.first_input.held()
    }

    /// Bytes queued for clients that don't take them just now, as far as they count for the bound of all connections.
    pub fn queued(&self) -> usize {
        self.0.context.queues.held()
    }

    /// Visits every connection, under its queue's lock for a moment each: for a scrape of metrics now and then, on a thread
    /// that may be busy that long.
    pub fn connection_totals(&self) -> ConnectionTotals {
        let mut totals = ConnectionTotals::default();
        self.0.registry.for_each(|connection| {
            match connection.stream() {
                Some(_) => totals.websocket += 1,
                None => totals.polling += 1,
            }
            let (frames, bytes) = connection.outbox().queued();
            totals.with_queue += usize::from(bytes > 0);
            totals.queued_frames += frames;
            totals.queued_bytes += bytes;
        });
        totals
    }

    /// TCP connections of the listeners that serve this gateway.
    pub fn http_connections(&self) -> HttpConnections {
        let mut connections = HttpConnections::default();
        for limits in self.0.listeners() {
            let (ordinary, spare) = limits.permits.taken();
            if limits.internal {
                connections.internal += ordinary + spare;
            } else {
                connections.ordinary += ordinary;
                connections.spare += spare;
            }
        }
        connections
    }

    /// How much of every budget of bytes is used.
    pub fn byte_budgets(&self) -> [ByteBudgetUse; 4] {
        let Context {
            config,
            first_input,
            input,
            queues,
            ..
        } = &*self.0.context;
        let bodies = self.0.listeners();
        let bodies = bodies.iter().filter(|limits| !limits.internal);
        let budget = |name, held, max| ByteBudgetUse { name, held, max };
        [
            budget("first_input", first_input.held(), config.max_first_input),
            budget("input", input.held(), config.max_input),
            budget("queues", queues.held(), config.max_queues),
            budget(
                "bodies",
                bodies.map(|limits| limits.bodies.held()).sum(),
                config.max_bodies,
            ),
        ]
    }

    /// WebSockets open now whose connections are other instances'.
    pub fn tunnels(&self) -> usize {
        self.0.tunnels.load(Ordering::Acquire)
    }

    /// Takes new connections from here on: what they need is there.
    pub fn admit(&self) {
        self.0.holding.store(false, Ordering::Release);
    }

    /// Ends all connections and tunnels, spread evenly over at most `window`, so that they don't come back all at
    /// once. New ones are refused from here on. Before it is closed each namespace gets `notice`, made for its name and the moment
    /// after which the client should come back. Returns when all are closed.
    pub async fn drain(&self, window: Duration, notice: impl Fn(&str, Duration) -> Option<Frame>) {
        // A thousand a second is a pace that any successor takes; a few connections needn't wait for it.
        let count = self.connections() + self.tunnels();
        let window = window.min(Duration::from_millis(count as u64));
        let begun = tokio::time::Instant::now();
        self.0.draining.send_replace(Some(begun + window));
        let all = self.0.registry.all();
        let step = window
            .checked_div(all.len().max(1) as u32)
            .unwrap_or_default();
        for (index, connection) in all.iter().enumerate() {
            let at = begun + step * index as u32;
            if at > tokio::time::Instant::now() + Duration::from_millis(5) {
                tokio::time::sleep_until(at).await;
            }
            // When it is closed is the jitter; a random part keeps those apart that are closed together.
            let after = window + Duration::from_millis(rand::rng().random_range(0..1_000));
            for (key, namespace) in connection.namespaces() {
                if let Some(frame) = notice(&namespace, after) {
                    Socket::new(connection.clone(), key).send(&frame);
                }
            }
            connection.close(CloseReason::Draining);
        }
        drop(all);
        let patience = begun + window + Duration::from_secs(2);
        let is_empty = || self.0.registry.is_empty() && self.tunnels() == 0;
        while !is_empty() && tokio::time::Instant::now() < patience {
            // Those too whose handshake was accepted just before.
            let close = |connection: &Arc<Connection>| connection.close(CloseReason::Draining);
            self.0.registry.for_each(close);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Opens a WebSocket connection after its handshake: the opening packet follows `response` in the same write.
    /// `decoder` holds what came behind the request.
    pub(crate) fn open_websocket(
        &self,
        stream: TcpStream,
        address: IpAddr,
        response: &[u8],
        decoder: Decoder,
    ) {
        let sid = self.new_sid();
        let open = self.open_packet(sid, false);
        let first = [response, Frame::engine_text(&open).wire()].concat();
        // A fresh socket's buffer takes some hundred bytes; if not, the client is no client.
        if !matches!(stream.try_write(&first), Ok(written) if written == first.len()) {
            self.0
                .stats()
                .connection_refused(HandshakeError::Disconnected);
            return;
        }
        let connection = Connection::new(self.0.context.clone(), sid, address, Some(stream));
        self.register(&connection);
        websocket::Task::spawn(connection, decoder);
    }

    /// Opens a polling connection and returns its opening packet.
    pub(crate) fn open_polling(&self, address: IpAddr) -> String {
        let sid = self.new_sid();
        let connection = Connection::new(self.0.context.clone(), sid, address, None);
        self.register(&connection);
        self.open_packet(sid, true)
    }

    fn open_packet(&self, sid: Sid, upgrades: bool) -> String {
        Packet::Open(OpenPacket {
            sid,
            upgrades: upgrades
                .then_some(TransportType::Websocket)
                .into_iter()
                .collect(),
            ping_interval: self.0.context.config.ping_interval,
            ping_timeout: self.0.context.config.ping_timeout,
            max_payload: self.0.context.config.max_payload as u64,
        })
        .into()
    }

    fn register(&self, connection: &Arc<Connection>) {
        self.0.registry.insert(connection.clone());
        self.0.stats().connection_opened();
        self.0.wheel.enter(connection.sid());
    }

    fn new_sid(&self) -> Sid {
        // Its characters are of an alphabet that Sid accepts; a new random one is the same kind of thing.
        self.instance().new_sid().parse().unwrap_or_default()
    }

    /// The other instance that gave out `sid`, if it is known.
    pub(crate) fn owner(&self, sid: &str) -> Option<Arc<Peer>> {
        let instance = InstanceId::of_sid(sid)?;
        if instance == self.instance() {
            return None;
        }
        self.peers().get(instance)
    }

    /// The connection that `sid` names, if it may go on or its client has yet to be told that it ended.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Connection>> {
        let connection = self.0.registry.get(&sid.parse().ok()?)?;
        if self.0.wheel.is_overdue(&connection) {
            connection.close(CloseReason::PingTimeout);
        }
        let closed = connection.closed();
        closed
            .is_none_or(CloseReason::is_reported_to_polls)
            .then_some(connection)
    }
}

impl Shared {
    /// Whether a new connection may be opened now.
    pub(crate) fn has_room(&self, address: IpAddr) -> bool {
        let open = self.registry.len() + self.tunnels.load(Ordering::Acquire);
        !self.holding.load(Ordering::Acquire)
            && self.draining.borrow().is_none()
            && open < self.context.config.max_connections
            && self.registry.of_network(address) < self.context.config.max_connections_of_network
    }

    /// When all connections will have ended, once the end has begun.
    pub(crate) fn draining(&self) -> watch::Receiver<Option<tokio::time::Instant>> {
        self.draining.subscribe()
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.context.stats()
    }

    /// A listener serves this gateway from here on, until its limits are dropped.
    pub(crate) fn add_listener(&self, limits: &Arc<ListenerLimits>) {
        self.listeners.lock().push(Arc::downgrade(limits));
    }

    fn listeners(&self) -> Vec<Arc<ListenerLimits>> {
        let listeners = self.listeners.lock();
        listeners.iter().filter_map(Weak::upgrade).collect()
    }
}
