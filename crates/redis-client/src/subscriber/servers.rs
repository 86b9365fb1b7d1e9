//! The subscriber's connections: one to each master that the layout names, or that a server sent us to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::Stats;
use crate::backoff::backoff;
use crate::layout::Layout;
use crate::link::{Access, Link};
use crate::resp::Kind;
use crate::stats::count;
use crate::subscriber::connection::Connection;
use crate::url::Host;

/// A connection that broke sooner counts as a failed try: the next one waits.
const SHORT_LIVED: Duration = Duration::from_secs(1);
/// How long a server that is no master any more is still listened to: publishers may not know yet.
const RETIREMENT: Duration = Duration::from_secs(10);

pub(super) struct Servers {
    pub(super) access: Access,
    must_be_master: bool,
    pub(super) stats: Arc<Stats>,
    /// Notified when the layout turned out wrong, or a master away.
    refresh: Arc<Notify>,
    /// What others see of it.
    all_connected: Arc<AtomicBool>,
    layout: Option<Arc<Layout>>,
    /// Slots that have moved since the layout was looked up, from redirections.
    moved: HashMap<u16, Host>,
    pub(super) connections: Vec<Connection>,
    last_id: u64,
    first_to_poll: usize,
    /// Whether one is needed that isn't connected.
    pub(super) lacking: bool,
    /// Servers that are being dialled, or didn't answer.
    tries: HashMap<Host, Try>,
}

/// Connections under way.
pub(super) type Dials = JoinSet<(Host, Result<Link, String>)>;

/// When it may be dialled; `None` while it is being.
#[derive(Default)]
struct Try {
    failures: u32,
    next: Option<Instant>,
}

impl Servers {
    pub(super) fn new(
        access: Access,
        must_be_master: bool,
        stats: Arc<Stats>,
        refresh: Arc<Notify>,
        all_connected: Arc<AtomicBool>,
    ) -> Self {
        Self {
            access,
            must_be_master,
            stats,
            refresh,
            all_connected,
            layout: None,
            moved: HashMap::new(),
            connections: Vec::new(),
            last_id: 0,
            first_to_poll: 0,
            lacking: false,
            tries: HashMap::new(),
        }
    }

    /// Writes what can be written, and reads once where something has come; fair to all.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Result<(), String>)> {
        let count = self.connections.len();
        self.first_to_poll = self.first_to_poll.wrapping_add(1);
        for offset in 0..count {
            let index = self.first_to_poll.wrapping_add(offset) % count;
            let link = &mut self.connections[index].link;
            if let Poll::Ready(Err(reason)) = link.poll_write(cx) {
                return Poll::Ready((index, Err(reason)));
            }
            if let Poll::Ready(outcome) = link.poll_read(cx) {
                return Poll::Ready((index, outcome));
            }
        }
        Poll::Pending
    }

    /// Dials every server that is needed, not connected and not to be waited for.
    pub(super) fn dial(&mut self, dials: &mut Dials) {
        let now = Instant::now();
        let masters = self.layout.iter().flat_map(|layout| &layout.masters);
        for host in masters.chain(self.moved.values()) {
            if self
                .connections
                .iter()
                .any(|connection| connection.link.host == *host)
            {
                continue;
            }
            let next_try = self.tries.entry(host.clone()).or_insert_with(|| Try {
                failures: 0,
                next: Some(now),
            });
            if next_try.next.is_some_and(|next| next <= now) {
                next_try.next = None;
                let (host, access) = (host.clone(), self.access.clone());
                dials.spawn(async move {
                    let opened = Link::open(&host, &access).await;
                    (host, opened)
                });
            }
        }
    }

    /// A dial ended; whether there is a connection more.
    pub(super) fn dialled(&mut self, host: Host, opened: Result<Link, String>) -> bool {
        let link = match opened {
            // The layout changed meanwhile.
            Ok(_) if !self.is_needed(&host) || self.is_connected_to(&host) => return false,
            Ok(link) if self.must_be_master && link.greeting.role != "master" => {
                self.failed(host, "it is a replica");
                return false;
            }
            Ok(link) => link,
            Err(reason) => {
                self.failed(host, &reason);
                return false;
            }
        };
        count(&self.stats.connects);
        info!(redis = self.access.options.name, %host, "subscriber connected to Redis");
        self.tries.entry(host).or_default().next = Some(Instant::now());
        self.last_id += 1;
        self.connections.push(Connection::new(self.last_id, link));
        self.update_connected();
        true
    }

    fn failed(&mut self, host: Host, reason: &str) {
        let redis = self.access.options.name;
        // What sent us there may be wrong by now.
        self.moved.retain(|_, other| *other != host);
        let next_try = self.tries.entry(host.clone()).or_default();
        next_try.failures += 1;
        next_try.next = Some(Instant::now() + backoff(next_try.failures));
        if next_try.failures == 1 {
            warn!(redis, %host, reason, "the subscriber can't reach Redis");
        } else {
            debug!(redis, %host, reason, failures = next_try.failures, "the subscriber can't reach Redis");
        }
        self.refresh.notify_one();
        self.update_connected();
    }

    /// Closes a connection and gives its id.
    pub(super) fn close(&mut self, index: usize, reason: &str) -> u64 {
        let connection = self.connections.swap_remove(index);
        let host = connection.link.host;
        if connection.retiring.is_none() {
            count(&self.stats.disconnects);
            warn!(redis = self.access.options.name, %host, reason, "the subscriber's connection to Redis was lost");
            if connection.opened.elapsed() > SHORT_LIVED {
                self.tries.remove(&host);
                self.refresh.notify_one();
            } else {
                self.failed(host, reason);
            }
        }
        self.update_connected();
        connection.id
    }

    /// Takes a new layout; `None` if it isn't. The ids of connections to servers that are no masters any more: they are
    /// listened to for a while.
    pub(super) fn follow(&mut self, layout: Arc<Layout>) -> Option<Vec<u64>> {
        if self.layout.as_ref() == Some(&layout) {
            return None;
        }
        self.tries.retain(|host, _| layout.masters.contains(host));
        self.moved.clear();
        let mut retiring = Vec::new();
        for connection in &mut self.connections {
            if layout.masters.contains(&connection.link.host) {
                connection.retiring = None;
            } else if connection.retiring.is_none() {
                connection.retiring = Some(Instant::now() + RETIREMENT);
                retiring.push(connection.id);
            }
        }
        self.layout = Some(layout);
        self.update_connected();
        Some(retiring)
    }

    /// The connections to be closed, last first, and why.
    pub(super) fn overdue(&mut self) -> Vec<(usize, String)> {
        let now = Instant::now();
        let response_timeout = self.access.options.response_timeout;
        let mut overdue = Vec::new();
        for index in (0..self.connections.len()).rev() {
            let is_needed = self.is_needed(&self.connections[index].link.host);
            let connection = &mut self.connections[index];
            if connection.retiring.is_some_and(|end| end <= now) && !is_needed {
                overdue.push((index, "it is no master any more".to_owned()));
            } else if connection.is_dead(response_timeout) {
                overdue.push((index, format!("no answer within {response_timeout:?}")));
            }
        }
        overdue
    }

    /// A server redirected: another one has the slot.
    pub(super) fn moved(&mut self, slot: u16, host: Host) {
        count(&self.stats.moved);
        self.moved.insert(slot, host);
        self.update_connected();
    }

    pub(super) fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// The index of the connection that a subscription belongs on, if there is one.
    pub(super) fn connection_for(&self, kind: Kind, slot: u16) -> Option<usize> {
        let mut connections = self.connections.iter();
        if kind == Kind::Pattern {
            // Any server will do: they pass classic publications on to each other.
            return connections.position(|connection| connection.retiring.is_none());
        }
        let host = self.master_of(slot)?;
        connections.position(|connection| connection.link.host == *host)
    }

    fn master_of(&self, slot: u16) -> Option<&Host> {
        self.moved.get(&slot).or_else(|| {
            let layout = self.layout.as_ref()?;
            layout.masters.get(layout.master_of(slot)?)
        })
    }

    /// Whether a subscription that has no connection won't have one soon: its master didn't answer when it was tried, or
    /// there is none.
    pub(super) fn is_away(&self, kind: Kind, slot: u16) -> bool {
        let didnt_answer =
            |host: &Host| self.tries.get(host).is_some_and(|tried| tried.failures > 0);
        let Some(layout) = &self.layout else {
            return false;
        };
        match kind {
            Kind::Shard => self.master_of(slot).is_none_or(didnt_answer),
            Kind::Pattern => layout.masters.iter().all(didnt_answer),
        }
    }

    /// What one command may name together: in a Cluster the channels of one slot, else all. Never those of two kinds.
    pub(super) fn group(&self, kind: Kind, slot: u16) -> (bool, u16) {
        let in_cluster = self
            .layout
            .as_ref()
            .is_some_and(|layout| layout.is_cluster());
        (
            kind == Kind::Pattern,
            if in_cluster && kind == Kind::Shard {
                slot
            } else {
                0
            },
        )
    }

    fn is_needed(&self, host: &Host) -> bool {
        self.layout
            .as_ref()
            .is_some_and(|layout| layout.masters.contains(host))
            || self.moved.values().any(|other| other == host)
    }

    fn is_connected_to(&self, host: &Host) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.link.host == *host)
    }

    /// To be called whenever what is needed or what is connected has changed.
    fn update_connected(&mut self) {
        let is_connected = |host: &Host| self.is_connected_to(host);
        let masters = self
            .layout
            .as_ref()
            .is_some_and(|layout| layout.masters.iter().all(is_connected));
        let complete = self
            .layout
            .as_ref()
            .is_some_and(|layout| layout.is_complete());
        let lacking = !masters || !self.moved.values().all(is_connected);
        self.all_connected.store(masters && complete, Relaxed);
        self.lacking = lacking;
    }
}
