//! A gateway: one path of one server, its connections and its settings.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dashmap::DashMap;
use engineioxide_core::{OpenPacket, Packet, Sid, TransportType};
use rand::RngExt;
use tokio::net::TcpStream;

use crate::{
    close::CloseReason,
    config::Config,
    connection::Connection,
    decoder::Decoder,
    frame::Frame,
    handler::{EngineHandler, Handler},
    heartbeat::Wheel,
    hub::Hub,
    socket::Socket,
    stats::Stats,
    websocket,
};

/// Connections under one path. Cloning copies a pointer.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    pub(crate) endpoint: Endpoint,
    pub(crate) wheel: Wheel,
    connections: DashMap<Sid, Arc<Connection>>,
    /// First bytes of every sid, so that another instance can tell whose it is.
    instance: [u8; INSTANCE_BYTES],
    started: Instant,
    draining: AtomicBool,
}

/// What messages are given to.
pub(crate) enum Endpoint {
    SocketIo(Arc<dyn Handler>),
    EngineIo(Arc<dyn EngineHandler>),
}

/// An sid is the instance's id and 72 random bits: 12 bytes, 16 characters.
const INSTANCE_BYTES: usize = 3;
const SID_BYTES: usize = 12;

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
        let wheel = Wheel::new(
            config.ping_interval,
            config.ping_timeout,
            config.connect_timeout,
            matches!(endpoint, Endpoint::SocketIo(_)),
        );
        let tick = wheel.tick();
        let shared = Arc::new(Shared {
            config,
            hub,
            endpoint,
            wheel,
            connections: DashMap::new(),
            instance: rand::rng().random(),
            started: Instant::now(),
            draining: AtomicBool::new(false),
        });
        tokio::spawn(Wheel::run(Arc::downgrade(&shared), tick));
        Self(shared)
    }

    /// The hub whose topics this gateway's sockets subscribe to.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.0.connections.len()
    }

    /// Ends all connections, spread evenly over at most `window`, so that they don't come back all at once. New ones
    /// are refused from here on. Before it is closed each namespace gets `notice`, made for its name and the moment
    /// after which the client should come back. Returns when all are closed.
    pub async fn drain(&self, window: Duration, notice: impl Fn(&str, Duration) -> Option<Frame>) {
        self.0.draining.store(true, Ordering::Release);
        let all: Vec<_> = self
            .0
            .connections
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        // A thousand a second is a pace that any successor takes; a few connections needn't wait for it.
        let window = window.min(Duration::from_millis(all.len() as u64));
        let step = window
            .checked_div(all.len().max(1) as u32)
            .unwrap_or_default();
        let begun = tokio::time::Instant::now();
        for (index, connection) in all.iter().enumerate() {
            let at = begun + step * index as u32;
            if at > tokio::time::Instant::now() + Duration::from_millis(5) {
                tokio::time::sleep_until(at).await;
            }
            // The place in the window is the jitter; a random part keeps clients of equal places apart.
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
        while !self.0.connections.is_empty() && tokio::time::Instant::now() < patience {
            // Those too whose handshake was accepted just before.
            for entry in &self.0.connections {
                entry.value().close(CloseReason::Draining);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether a new connection may be opened now.
    pub(crate) fn has_room(&self) -> bool {
        !self.0.draining.load(Ordering::Acquire)
            && self.0.connections.len() < self.0.config.max_connections
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
            self.0.stats().connection_refused();
            return;
        }
        let connection = Connection::new(self.0.clone(), sid, address, Some(stream));
        self.register(&connection);
        websocket::Task::spawn(connection, decoder);
    }

    /// Opens a polling connection and returns its opening packet.
    pub(crate) fn open_polling(&self, address: IpAddr) -> String {
        let sid = self.new_sid();
        let connection = Connection::new(self.0.clone(), sid, address, None);
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
            ping_interval: self.0.config.ping_interval,
            ping_timeout: self.0.config.ping_timeout,
            max_payload: self.0.config.max_payload as u64,
        })
        .into()
    }

    fn register(&self, connection: &Arc<Connection>) {
        self.0
            .connections
            .insert(connection.sid(), connection.clone());
        self.0.stats().connection_opened();
        self.0.wheel.enter(connection.sid(), self.0.now_millis());
    }

    fn new_sid(&self) -> Sid {
        let mut bytes: [u8; SID_BYTES] = rand::rng().random();
        bytes[..INSTANCE_BYTES].copy_from_slice(&self.0.instance);
        // 12 bytes are 16 characters of an alphabet that Sid accepts; a new random one is the same kind of thing.
        BASE64_URL_SAFE_NO_PAD
            .encode(bytes)
            .parse()
            .unwrap_or_default()
    }

    /// The connection that `sid` names, if it may go on or its client has yet to be told that it ended.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Connection>> {
        let connection = self.0.find(&sid.parse().ok()?)?;
        if self.0.wheel.is_overdue(&connection, self.0.now_millis()) {
            connection.close(CloseReason::PingTimeout);
        }
        let closed = connection.closed();
        closed
            .is_none_or(CloseReason::is_told_to_polls)
            .then_some(connection)
    }
}

impl Shared {
    pub(crate) fn stats(&self) -> &Stats {
        self.hub.stats()
    }

    pub(crate) fn now_millis(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn now_micros(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    pub(crate) fn find(&self, sid: &Sid) -> Option<Arc<Connection>> {
        self.connections.get(sid).map(|entry| entry.value().clone())
    }

    pub(crate) fn remove(&self, sid: Sid, reason: CloseReason) {
        if self.connections.remove(&sid).is_some() {
            self.stats().connection_closed(reason);
        }
    }
}
