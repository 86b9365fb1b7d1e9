//! Pings, and the end of connections that don't answer: one timer wheel for all connections.
//!
//! A slot of the wheel holds ids, not connections, so an entry keeps nothing alive. Each connection has one entry; when
//! its slot comes up it is pinged, closed or put back, as its own times say. A pong writes one number and moves nothing.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use engineioxide_core::Sid;
use parking_lot::Mutex;

use crate::{
    clock::Clock,
    close::CloseReason,
    connection::Connection,
    frame::Frame,
    heartbeat::{Due, Times},
    registry::Registry,
};

pub(crate) struct Wheel {
    times: Times,
    /// Milliseconds a slot stands for.
    tick: u64,
    slots: Vec<Mutex<Vec<Sid>>>,
    clock: Clock,
    ping: Frame,
    /// Whether connections must join a namespace (Socket.IO) or live without (bare Engine.IO).
    namespaces: bool,
}

impl Wheel {
    pub(crate) fn new(
        interval: Duration,
        timeout: Duration,
        connect: Duration,
        namespaces: bool,
        clock: Clock,
    ) -> Self {
        let millis = |duration: Duration| duration.as_millis() as u64;
        let times = Times {
            interval: millis(interval).max(1),
            timeout: millis(timeout).max(1),
            connect: millis(connect).max(1),
        };
        // A hundredth of the interval is exact enough, and rarely wakes an idle process.
        let tick = (times.interval / 100).clamp(5, 250);
        let longest = times.interval.max(times.timeout).max(times.connect);
        let slots = (longest / tick + 2) as usize;
        Self {
            times,
            tick,
            slots: (0..slots).map(|_| Mutex::default()).collect(),
            clock,
            ping: Frame::engine_text("2"),
            namespaces,
        }
    }

    /// Enters a new connection.
    pub(crate) fn enter(&self, sid: Sid) {
        let now = self.clock.now_millis();
        let first = self.times.interval.min(self.times.connect);
        self.put(sid, now + first, now);
    }

    fn put(&self, sid: Sid, at: u64, now: u64) {
        // The slot that comes up at `at` or just after, and never the one being emptied.
        let ahead = (at.div_ceil(self.tick)).max(now / self.tick + 1);
        self.slots[ahead as usize % self.slots.len()]
            .lock()
            .push(sid);
    }

    /// Whether the connection should have been closed by now; a request may come before the wheel does.
    pub(crate) fn is_overdue(&self, connection: &Connection) -> bool {
        let now = self.clock.now_millis();
        let in_namespace = self.is_in_namespace(connection);
        self.times
            .is_overdue(&connection.heartbeat, in_namespace, now)
    }

    fn is_in_namespace(&self, connection: &Connection) -> bool {
        !self.namespaces || connection.namespace_count() > 0
    }

    /// Turns the wheel until nobody holds the registry any more.
    pub(crate) async fn run(self: Arc<Self>, registry: Weak<Registry>) {
        let mut timer = tokio::time::interval(Duration::from_millis(self.tick));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let slots = self.slots.len() as u64;
        let mut done = 0;
        loop {
            timer.tick().await;
            let Some(registry) = registry.upgrade() else {
                return;
            };
            let now = self.clock.now_millis();
            let current = now / self.tick;
            // After a stall each slot is visited once, however many ticks were missed.
            let from = (done + 1).max((current + 1).saturating_sub(slots));
            for tick in from..=current {
                let due = std::mem::take(&mut *self.slots[(tick % slots) as usize].lock());
                for (index, sid) in due.into_iter().enumerate() {
                    if let Some(connection) = registry.get(&sid) {
                        self.visit(&connection, now);
                    }
                    if index % 256 == 255 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            done = current;
        }
    }

    fn visit(&self, connection: &Arc<Connection>, now: u64) {
        connection.expire_partial();
        if connection.closed().is_some() {
            // A polling client had its time to ask why.
            connection.leave_registry();
            return;
        }
        let patience = self.times.interval + self.times.timeout;
        if connection.outbox().is_stuck(now, patience) {
            // It may well send pongs.
            connection.close(CloseReason::SlowConsumer);
            return;
        }
        let in_namespace = self.is_in_namespace(connection);
        let (due, again) = self.times.check(&connection.heartbeat, in_namespace, now);
        match due {
            Due::Close(reason) => {
                connection.close(reason);
                return;
            }
            Due::Ping => connection.send(&self.ping),
            Due::Nothing => {}
        }
        self.put(connection.sid(), again, now);
    }
}
