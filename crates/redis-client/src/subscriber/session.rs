//! The task that keeps every subscription alive: it sends subscriptions to the masters of their slots, and reads. It never waits for
//! one thing while another could go on.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::layout::Layout;
use crate::link::Access;
use crate::resp::{Frame, Kind};
use crate::routing::redirection;
use crate::subscriber::connection::{Asked, Connection, Names};
use crate::subscriber::incoming::{Received, Sender};
use crate::subscriber::registry::{Leaving, Pending, Registry};
use crate::subscriber::request::Request;
use crate::subscriber::servers::{Dials, Servers};
use crate::topology::Topology;
use crate::url::{Kind as UrlKind, RedisUrl};
use crate::{Options, RedisError, Stats};

/// How often time is looked at: connections to be tried again, signs of life, what was put off.
const TICK: Duration = Duration::from_millis(100);
/// After how many ticks a subscription is sent again that the server refuses.
const REFUSED_TICKS: u32 = 50;

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
        servers: Servers::new(access, must_be_master, stats, topology.refresh(), connected),
        registry: Registry::default(),
        batch: Vec::new(),
        sender,
    };
    let mut dials = Dials::new();
    let mut taken = Vec::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    loop {
        tokio::select! {
            (index, outcome) = poll_fn(|cx| session.servers.poll(cx)) => session.was_read(index, outcome),
            count = requests.recv_many(&mut taken, 1024) => {
                if count == 0 {
                    return;
                }
                taken.drain(..).for_each(|request| session.take(request));
            }
            Some(dialled) = dials.join_next() => match dialled {
                Ok((host, opened)) => {
                    let opened = session.servers.dialled(host, opened);
                    session.registry.servers_changed(opened);
                }
                Err(error) => warn!(%error, "a connection to Redis failed"),
            },
            Ok(()) = discovered.changed() => {
                let layout = discovered.borrow_and_update().layout.clone();
                layout.into_iter().for_each(|layout| session.follow(layout));
            }
            _ = tick.tick() => {
                ticks = ticks.wrapping_add(1);
                session.tick(ticks.is_multiple_of(REFUSED_TICKS));
            }
        }
        if session.send() {
            session.servers.dial(&mut dials);
        }
    }
}

struct Session {
    servers: Servers,
    registry: Registry,
    /// What was just read.
    batch: Vec<Received>,
    sender: Sender,
}

impl Session {
    fn take(&mut self, request: Request) {
        match request {
            Request::Subscribe { kind, name, done } => self.registry.subscribe(kind, name, done),
            Request::Unsubscribe { kind, name } => self.registry.unsubscribe(kind, name),
        }
    }

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
        let mut errors = Vec::new();
        let connection = &mut self.servers.connections[index];
        connection.was_read();
        let Connection {
            id, link, asked, ..
        } = connection;
        let registry = &mut self.registry;
        while let Some(frame) = link.next_frame().map_err(|error| error.to_string())? {
            match frame {
                Frame::Message { channel, payload } => {
                    if let Some(channel) = registry.name(Kind::Shard, channel) {
                        let (channel, payload) =
                            (Arc::clone(channel), Bytes::copy_from_slice(payload));
                        self.batch.push(Received::Message { channel, payload });
                    }
                }
                Frame::PatternMessage {
                    pattern,
                    channel,
                    payload,
                } => {
                    if let Some(pattern) = registry.name(Kind::Pattern, pattern) {
                        self.batch.push(Received::PatternMessage {
                            pattern: Arc::clone(pattern),
                            channel: Bytes::copy_from_slice(channel),
                            payload: Bytes::copy_from_slice(payload),
                        });
                    }
                }
                Frame::Subscribed { kind, name } => registry.confirmed(kind, name, *id, asked)?,
                Frame::Unsubscribed { kind, name } => {
                    if !asked
                        .front_mut()
                        .is_some_and(|asked| asked.explains_end(kind, name))
                    {
                        registry.ended(kind, name, *id);
                    }
                }
                Frame::OtherPush => {}
                Frame::Reply(Value::ServerError(error)) => match asked.front() {
                    Some(Asked::Subscribe { .. }) => {
                        errors.extend(asked.pop_front().map(|asked| (asked, error)))
                    }
                    // The answer to the PING behind it completes it.
                    Some(Asked::Unsubscribe { .. }) => {}
                    _ => {
                        return Err(format!(
                            "{} {}",
                            error.code(),
                            error.details().unwrap_or_default()
                        ));
                    }
                },
                Frame::Reply(_) => match asked.pop_front() {
                    Some(Asked::Unsubscribe { .. } | Asked::Ping) => {}
                    _ => return Err("an unexpected answer".to_owned()),
                },
            }
        }
        for (asked, error) in errors {
            if let Asked::Subscribe { kind, slot, names } = asked {
                let (code, details) = (error.code(), error.details().unwrap_or_default());
                self.not_subscribed(index, (kind, slot), names, (code, details));
            }
        }
        Ok(())
    }

    /// A server answered with an error.
    fn not_subscribed(
        &mut self,
        index: usize,
        (kind, slot): (Kind, u16),
        names: Names,
        (code, details): (&str, &str),
    ) {
        let host = &self.servers.connections[index].link.host;
        match (code, redirection(details, host)) {
            ("MOVED", Some((_, other))) => {
                self.servers.moved(slot, other);
                self.registry.postponed(kind, names, true);
            }
            ("CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "TRYAGAIN" | "BUSY", _) => {
                self.registry.postponed(kind, names, false);
            }
            _ => {
                let redis = self.servers.access.options.name;
                warn!(redis, %host, code, details, "Redis refuses a subscription");
                let error = RedisError::Refused {
                    code: code.to_owned(),
                    message: details.to_owned(),
                };
                self.registry.refuse(kind, names, &error);
            }
        }
        self.servers.refresh();
    }

    fn close(&mut self, index: usize, reason: &str) {
        let id = self.servers.close(index, reason);
        self.registry.connection_closed(id);
    }

    fn follow(&mut self, layout: Arc<Layout>) {
        let Some(retiring) = self.servers.follow(layout) else {
            return;
        };
        for id in retiring {
            self.registry.patterns_leave(id);
        }
        let servers = &self.servers;
        self.registry.follow(|slot| {
            Some(servers.connections[servers.connection_for(Kind::Shard, slot)?].id)
        });
        self.registry.servers_changed(true);
    }

    fn tick(&mut self, refused_too: bool) {
        for (index, reason) in self.servers.overdue() {
            self.close(index, &reason);
        }
        self.registry.tick(refused_too);
    }

    /// Sends what is to be unsubscribed, then what is to be subscribed. True if a connection that is needed isn't there.
    fn send(&mut self) -> bool {
        if !self.registry.leaving.is_empty() {
            self.send_leaving();
        }
        if !self.registry.to_send.is_empty() {
            self.send_pending();
        }
        self.servers.lacking
    }

    fn send_leaving(&mut self) {
        let mut leaving = std::mem::take(&mut self.registry.leaving);
        let servers = &mut self.servers;
        leaving.sort_by_key(|leaving| {
            (
                leaving.connection,
                servers.group(leaving.kind, leaving.slot),
            )
        });
        let mut leaving = leaving.into_iter().peekable();
        while let Some(Leaving {
            connection,
            kind,
            slot,
            name,
        }) = leaving.next()
        {
            let group = servers.group(kind, slot);
            let mut names = vec![name];
            while let Some(other) = leaving.next_if(|other| {
                other.connection == connection && servers.group(other.kind, other.slot) == group
            }) {
                names.push(other.name);
            }
            if let Some(connection) = servers
                .connections
                .iter_mut()
                .find(|other| other.id == connection)
            {
                connection.unsubscribe(kind, names.into_iter());
            }
        }
    }

    fn send_pending(&mut self) {
        let mut placed: Vec<(usize, (bool, u16), u16, Pending)> =
            Vec::with_capacity(self.registry.to_send.len());
        for pending in std::mem::take(&mut self.registry.to_send) {
            let Some(slot) = self.registry.slot_of(&pending) else {
                continue;
            };
            match self.servers.connection_for(pending.kind, slot) {
                Some(index) => {
                    placed.push((index, self.servers.group(pending.kind, slot), slot, pending))
                }
                None => {
                    let is_away = self.servers.is_away(pending.kind, slot);
                    self.registry.strand(pending, is_away);
                }
            }
        }
        placed.sort_by_key(|(index, group, ..)| (*index, *group));
        let mut placed = placed.into_iter().peekable();
        while let Some((index, group, slot, pending)) = placed.next() {
            let connection = &mut self.servers.connections[index];
            let kind = pending.kind;
            let mut names = vec![self.registry.sent(pending, connection.id)];
            while let Some((.., pending)) = placed.next_if(|(i, g, ..)| (*i, *g) == (index, group))
            {
                names.push(self.registry.sent(pending, connection.id));
            }
            connection.subscribe(kind, slot, names.into_iter());
        }
    }
}
