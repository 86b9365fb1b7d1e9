//! The task that keeps every subscription alive: it connects to each master, sends what is wanted to where it belongs, and
//! reads. It never waits for one thing while another could go on.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::backoff::backoff;
use crate::link::{Access, Link};
use crate::resp::{Frame, Kind};
use crate::routing::redirection;
use crate::stats::count;
use crate::subscriber::Request;
use crate::subscriber::connection::{Asked, Connection};
use crate::subscriber::incoming::{Received, Sender};
use crate::subscriber::registry::{Leaving, Registry, Wish};
use crate::topology::{Discovered, Layout, Topology};
use crate::url::{Host, Kind as UrlKind, RedisUrl};
use crate::{Options, RedisError, Stats};

/// How often time is looked at: connections to be tried again, signs of life, what was put off.
const TICK: Duration = Duration::from_millis(100);
/// After how many ticks a subscription is sent again that the server refuses.
const REFUSED_TICKS: u32 = 50;
/// A connection that broke sooner counts as a failed try: the next one waits.
const SHORT_LIVED: Duration = Duration::from_secs(1);
/// How long a server that is no master any more is still listened to: publishers may not know yet.
const RETIREMENT: Duration = Duration::from_secs(10);

/// Runs until the subscriber is dropped.
pub(super) async fn run(
    url: RedisUrl,
    options: Options,
    mut requests: mpsc::UnboundedReceiver<Request>,
    sender: Sender,
    connected: Arc<AtomicBool>,
    stats: Arc<Stats>,
) {
    let access = Access::new(&url, options);
    let must_be_master = matches!(url.kind, UrlKind::Sentinel { .. });
    let topology = Topology::new(url, access.clone());
    let mut discovered = topology.discovered();
    let mut session = Session {
        access,
        must_be_master,
        topology,
        layout: None,
        registry: Registry::default(),
        connections: Vec::new(),
        last_connection: 0,
        first_to_poll: 0,
        moved: HashMap::new(),
        dials: JoinSet::new(),
        tries: HashMap::new(),
        batch: Vec::new(),
        sender,
        connected,
        stats,
    };
    let mut taken = Vec::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    loop {
        tokio::select! {
            (index, outcome) = poll_fn(|cx| poll_connections(&mut session.connections, &mut session.first_to_poll, cx)) => {
                session.was_read(index, outcome);
            }
            count = requests.recv_many(&mut taken, 1024) => {
                if count == 0 {
                    return;
                }
                taken.drain(..).for_each(|request| session.take(request));
            }
            Some(dialled) = session.dials.join_next() => match dialled {
                Ok((host, opened)) => session.dialled(host, opened),
                Err(error) => warn!(%error, "redis.dial_panicked"),
            },
            Ok(()) = discovered.changed() => {
                let now = discovered.borrow_and_update().clone();
                session.follow(now);
            }
            _ = tick.tick() => {
                ticks = ticks.wrapping_add(1);
                session.tick(ticks.is_multiple_of(REFUSED_TICKS));
            }
        }
        session.send();
    }
}

/// Writes what can be written, and reads once where something has come; fair to all.
fn poll_connections(
    connections: &mut [Connection],
    first: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<(usize, Result<(), String>)> {
    *first = first.wrapping_add(1);
    for offset in 0..connections.len() {
        let index = first.wrapping_add(offset) % connections.len();
        let link = &mut connections[index].link;
        if let Poll::Ready(Err(reason)) = link.poll_write(cx) {
            return Poll::Ready((index, Err(reason)));
        }
        if let Poll::Ready(outcome) = link.poll_read(cx) {
            return Poll::Ready((index, outcome));
        }
    }
    Poll::Pending
}

struct Session {
    access: Access,
    must_be_master: bool,
    topology: Topology,
    layout: Option<Arc<Layout>>,
    registry: Registry,
    connections: Vec<Connection>,
    last_connection: u64,
    first_to_poll: usize,
    /// Slots that are elsewhere than the layout says, as their servers told us since.
    moved: HashMap<u16, Host>,
    dials: JoinSet<(Host, Result<Link, String>)>,
    /// Servers that are being dialled, or didn't answer.
    tries: HashMap<Host, Try>,
    /// What was just read.
    batch: Vec<Received>,
    sender: Sender,
    connected: Arc<AtomicBool>,
    stats: Arc<Stats>,
}

/// When it may be dialled; `None` while it is being.
#[derive(Default)]
struct Try {
    failures: u32,
    next: Option<Instant>,
}

impl Session {
    fn was_read(&mut self, index: usize, outcome: Result<(), String>) {
        let outcome = outcome.and_then(|()| self.read(index));
        self.sender
            .send(&mut self.batch, &mut self.registry.interrupted);
        if let Err(reason) = outcome {
            self.close(index, &reason);
        }
    }

    /// Takes in the frames that were read.
    fn read(&mut self, index: usize) -> Result<(), String> {
        let Self {
            connections,
            registry,
            batch,
            moved,
            topology,
            stats,
            ..
        } = self;
        let Some(Connection {
            id, link, asked, ..
        }) = connections.get_mut(index)
        else {
            return Ok(());
        };
        let host = link.host.clone();
        while let Some(frame) = link.next_frame().map_err(|error| error.to_string())? {
            match frame {
                Frame::Message { channel, payload } => {
                    if let Some(channel) = registry.name(Kind::Shard, channel) {
                        batch.push(Received::Message {
                            channel: Arc::clone(channel),
                            payload: Bytes::copy_from_slice(payload),
                        });
                    }
                }
                Frame::PatternMessage {
                    pattern,
                    channel,
                    payload,
                } => {
                    if let Some(pattern) = registry.name(Kind::Pattern, pattern) {
                        batch.push(Received::PatternMessage {
                            pattern: Arc::clone(pattern),
                            channel: Bytes::copy_from_slice(channel),
                            payload: Bytes::copy_from_slice(payload),
                        });
                    }
                }
                Frame::Subscribed { kind, name } => registry.confirmed(kind, name, *id, asked),
                Frame::Unsubscribed { kind, name } => {
                    if registry.ended(kind, name, *id, asked) {
                        topology.refresh().notify_one();
                    }
                }
                Frame::OtherPush => {}
                Frame::Reply(value) => match (asked.pop_front(), value) {
                    (Some(Asked::Subscribe { kind, slot, names }), Value::ServerError(error)) => {
                        let details = error.details().unwrap_or_default();
                        match (error.code(), redirection(details, &host)) {
                            ("MOVED", Some((_, other))) => {
                                count(&stats.moved);
                                moved.insert(slot, other);
                                registry.postponed(kind, names, true);
                            }
                            ("CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "TRYAGAIN" | "BUSY", _) => {
                                registry.postponed(kind, names, false);
                            }
                            (code, _) => {
                                warn!(redis = self.access.options.name, %host, code, details, "redis.subscription_refused");
                                let error = RedisError::Refused {
                                    code: code.to_owned(),
                                    message: details.to_owned(),
                                };
                                registry.refuse(kind, names, &error);
                            }
                        }
                        topology.refresh().notify_one();
                    }
                    (Some(Asked::Unsubscribe { .. }), Value::ServerError(_))
                    | (Some(Asked::Ping), _) => {}
                    _ => return Err("an answer that nobody asked for".to_owned()),
                },
            }
        }
        if let Some(connection) = connections.get_mut(index) {
            connection.was_read();
        }
        Ok(())
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Subscribe { kind, name, done } => self.registry.subscribe(kind, name, done),
            Request::Unsubscribe { kind, name } => self.registry.unsubscribe(kind, name),
        }
    }

    fn dialled(&mut self, host: Host, opened: Result<Link, String>) {
        let redis = self.access.options.name;
        let opened = match opened {
            Ok(link) if self.must_be_master && link.greeting.role != "master" => {
                Err(format!("{host} is a replica"))
            }
            opened => opened,
        };
        match opened {
            // The layout changed meanwhile.
            Ok(_) if !self.is_needed(&host) || self.is_connected_to(&host) => {}
            Ok(link) => {
                self.tries.entry(host.clone()).or_default().next = Some(Instant::now());
                count(&self.stats.connects);
                info!(redis, %host, "redis.subscriber_connected");
                self.last_connection += 1;
                self.connections
                    .push(Connection::new(self.last_connection, link));
                self.registry.wanted.append(&mut self.registry.stranded);
            }
            Err(reason) => self.failed(host, &reason),
        }
        self.note_connected();
    }

    fn failed(&mut self, host: Host, reason: &str) {
        let redis = self.access.options.name;
        // What sent us there may be wrong by now.
        self.moved.retain(|_, other| *other != host);
        let attempt = self.tries.entry(host.clone()).or_default();
        attempt.failures += 1;
        attempt.next = Some(Instant::now() + backoff(attempt.failures));
        if attempt.failures == 1 {
            warn!(redis, %host, reason, "redis.subscriber_unreachable");
        } else {
            debug!(redis, %host, reason, failures = attempt.failures, "redis.subscriber_unreachable");
        }
        self.topology.refresh().notify_one();
        self.registry.later.append(&mut self.registry.stranded);
    }

    fn close(&mut self, index: usize, reason: &str) {
        let connection = self.connections.swap_remove(index);
        let host = connection.link.host;
        self.registry.connection_closed(connection.id);
        if connection.retiring.is_some() {
            return;
        }
        count(&self.stats.disconnects);
        warn!(redis = self.access.options.name, %host, reason, "redis.subscriber_disconnected");
        if connection.opened.elapsed() > SHORT_LIVED {
            self.tries.remove(&host);
            self.topology.refresh().notify_one();
        } else {
            self.failed(host, reason);
        }
        self.dial();
    }

    fn follow(&mut self, now: Discovered) {
        let Some(layout) = now.layout else {
            return;
        };
        if self.layout.as_ref() == Some(&layout) {
            return;
        }
        self.tries.retain(|host, _| layout.masters.contains(host));
        self.layout = Some(layout);
        self.moved.clear();
        for index in 0..self.connections.len() {
            let needed = self.is_needed(&self.connections[index].link.host);
            let connection = &mut self.connections[index];
            match (needed, connection.retiring) {
                (true, _) => connection.retiring = None,
                (false, None) => {
                    connection.retiring = Some(Instant::now() + RETIREMENT);
                    self.registry.patterns_leave(connection.id);
                }
                (false, Some(_)) => {}
            }
        }
        let (layout, connections) = (&self.layout, &self.connections);
        self.registry.follow(|slot| {
            let layout = layout.as_ref()?;
            let host = &layout.masters[layout.master_of(slot)?];
            connections
                .iter()
                .find(|connection| connection.link.host == *host)
                .map(|connection| connection.id)
        });
        self.registry.wanted.append(&mut self.registry.stranded);
        self.dial();
    }

    fn tick(&mut self, refused_too: bool) {
        self.registry.wanted.append(&mut self.registry.later);
        if refused_too {
            self.registry.wanted.append(&mut self.registry.refused);
        }
        let now = Instant::now();
        let response_timeout = self.access.options.response_timeout;
        for index in (0..self.connections.len()).rev() {
            let connection = &mut self.connections[index];
            if connection.retiring.is_some_and(|end| end <= now) {
                self.close(index, "retired");
            } else if connection.is_dead(response_timeout) {
                self.close(
                    index,
                    &format!("no sign of life within {response_timeout:?}"),
                );
            }
        }
        self.dial();
    }

    fn is_needed(&self, host: &Host) -> bool {
        self.layout
            .as_ref()
            .is_some_and(|layout| layout.masters.contains(host))
            || self.moved.values().any(|other| other == host)
    }

    /// Dials every server that is needed, not connected and not to be waited for.
    fn dial(&mut self) {
        let Some(layout) = &self.layout else {
            return;
        };
        let now = Instant::now();
        for host in layout.masters.iter().chain(self.moved.values()) {
            if self
                .connections
                .iter()
                .any(|connection| connection.link.host == *host)
            {
                continue;
            }
            let attempt = self.tries.entry(host.clone()).or_insert_with(|| Try {
                failures: 0,
                next: Some(now),
            });
            if attempt.next.is_some_and(|next| next <= now) {
                attempt.next = None;
                let (host, access) = (host.clone(), self.access.clone());
                self.dials.spawn(async move {
                    let opened = Link::open(&host, &access).await;
                    (host, opened)
                });
            }
        }
        self.note_connected();
    }

    fn is_connected_to(&self, host: &Host) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.link.host == *host)
    }

    fn note_connected(&self) {
        let connected = self.layout.as_ref().is_some_and(|layout| {
            layout.is_complete() && layout.masters.iter().all(|host| self.is_connected_to(host))
        });
        self.connected.store(connected, Relaxed);
    }

    /// Sends what is to be unsubscribed, then what is wanted, in one command for each slot as a Cluster demands.
    fn send(&mut self) {
        if !self.registry.leaving.is_empty() {
            self.send_leaving();
        }
        if !self.registry.wanted.is_empty() {
            self.send_wanted();
        }
    }

    fn send_leaving(&mut self) {
        let in_cluster = self
            .layout
            .as_ref()
            .is_some_and(|layout| layout.is_cluster());
        let mut leaving = std::mem::take(&mut self.registry.leaving);
        let key = |leaving: &Leaving| {
            let slot = if in_cluster && leaving.kind == Kind::Shard {
                leaving.slot
            } else {
                0
            };
            (leaving.connection, leaving.kind == Kind::Pattern, slot)
        };
        leaving.sort_by_key(key);
        for group in leaving.chunk_by(|a, b| key(a) == key(b)) {
            if let [
                Leaving {
                    connection, kind, ..
                },
                ..,
            ] = group
                && let Some(connection) = self
                    .connections
                    .iter_mut()
                    .find(|other| other.id == *connection)
            {
                connection
                    .unsubscribe(*kind, group.iter().map(|leaving| Arc::clone(&leaving.name)));
            }
        }
    }

    fn send_wanted(&mut self) {
        let in_cluster = self
            .layout
            .as_ref()
            .is_some_and(|layout| layout.is_cluster());
        let mut placed: Vec<(usize, bool, u16, Wish)> =
            Vec::with_capacity(self.registry.wanted.len());
        for wish in std::mem::take(&mut self.registry.wanted) {
            let Some(slot) = self.registry.slot_of(&wish) else {
                continue;
            };
            match self.place(wish.kind, slot) {
                Some(index) => {
                    let by_slot = in_cluster && wish.kind == Kind::Shard;
                    placed.push((
                        index,
                        wish.kind == Kind::Pattern,
                        if by_slot { slot } else { 0 },
                        wish,
                    ));
                }
                None => self.registry.strand(wish),
            }
        }
        placed.sort_by_key(|(index, pattern, slot, _)| (*index, *pattern, *slot));
        let mut placed = placed.into_iter().peekable();
        while let Some((index, pattern, slot, wish)) = placed.next() {
            let id = self.connections[index].id;
            let kind = wish.kind;
            let mut names = vec![self.registry.sent(wish, id)];
            while let Some((.., wish)) =
                placed.next_if(|(i, p, s, _)| (*i, *p, *s) == (index, pattern, slot))
            {
                names.push(self.registry.sent(wish, id));
            }
            self.connections[index].subscribe(kind, slot, names.into_iter());
        }
        self.dial();
    }

    /// The connection that a subscription belongs on, if it is there.
    fn place(&self, kind: Kind, slot: u16) -> Option<usize> {
        let mut connections = self.connections.iter();
        if kind == Kind::Pattern {
            // Any server will do: they pass classic publications on to each other.
            return connections.position(|connection| connection.retiring.is_none());
        }
        let host = self.moved.get(&slot).or_else(|| {
            let layout = self.layout.as_ref()?;
            layout.masters.get(layout.master_of(slot)?)
        })?;
        connections.position(|connection| connection.link.host == *host)
    }
}
