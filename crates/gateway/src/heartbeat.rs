//! Pings, and what is closed for want of a pong: one timer wheel for all connections.
//!
//! A slot of the wheel holds ids, not connections, so an entry keeps nothing alive. Each connection has one entry; when
//! its slot comes up it is pinged, closed or put back, as its own times say. A pong writes one number and moves nothing.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use engineioxide_core::Sid;
use parking_lot::Mutex;

use crate::{close::CloseReason, connection::Connection, frame::Frame, gateway::Shared};

/// A connection's times, in milliseconds since the gateway's start.
pub(crate) struct Heartbeat {
    /// The last pong, or the opening.
    seen: AtomicU64,
    /// Since when the connection is in no namespace: its opening, or its leaving the last one.
    outside_since: AtomicU64,
    /// A ping is due or sent, and not answered.
    waiting: AtomicBool,
    /// The application is at work on an event, so that a pong behind it can't be read: no time to judge.
    busy: AtomicBool,
}

impl Heartbeat {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            seen: AtomicU64::new(now),
            outside_since: AtomicU64::new(now),
            waiting: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    pub(crate) fn pong(&self, now: u64) {
        self.seen.store(now, Relaxed);
        self.waiting.store(false, Relaxed);
    }

    pub(crate) fn left_last_namespace(&self, now: u64) {
        self.outside_since.store(now, Relaxed);
    }

    /// What kept it busy is over, if anything did.
    pub(crate) fn resume(&self, now: impl FnOnce() -> u64) {
        if self.busy.load(Relaxed) {
            self.set_busy(false, now());
        }
    }

    pub(crate) fn set_busy(&self, busy: bool, now: u64) {
        if !busy && self.waiting.load(Relaxed) {
            // The pong may have waited behind the event: judge anew from here.
            self.seen.store(now, Relaxed);
        }
        self.busy.store(busy, Relaxed);
    }
}

/// What is to be done with a connection now.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Ping,
    Close(CloseReason),
    Nothing,
}

/// Intervals and timeouts, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    interval: u64,
    timeout: u64,
    connect: u64,
}

impl Times {
    /// What is due at `now`, and when to look again.
    fn judge(self, heartbeat: &Heartbeat, in_namespace: bool, now: u64) -> (Due, u64) {
        let connect_by = heartbeat.outside_since.load(Relaxed) + self.connect;
        if !in_namespace && now >= connect_by {
            return (Due::Close(CloseReason::ConnectTimeout), now);
        }
        let look_by = |at: u64| if in_namespace { at } else { at.min(connect_by) };
        let ping_at = heartbeat.seen.load(Relaxed) + self.interval;
        let close_at = ping_at + self.timeout;
        if now < ping_at {
            return (Due::Nothing, look_by(ping_at));
        }
        if now >= close_at && !heartbeat.busy.load(Relaxed) {
            return (Due::Close(CloseReason::PingTimeout), now);
        }
        // A pong can come at once, and the next ping is due an interval later.
        let again = look_by(close_at.max(now + 1).min(now + self.interval));
        if heartbeat.waiting.swap(true, Relaxed) {
            (Due::Nothing, again)
        } else {
            (Due::Ping, again)
        }
    }
}

pub(crate) struct Wheel {
    times: Times,
    /// Milliseconds a slot stands for.
    tick: u64,
    slots: Vec<Mutex<Vec<Sid>>>,
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
            ping: Frame::engine_text("2"),
            namespaces,
        }
    }

    /// Enters a new connection.
    pub(crate) fn enter(&self, sid: Sid, now: u64) {
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
    pub(crate) fn is_overdue(&self, connection: &Connection, now: u64) -> bool {
        let in_namespace = !self.namespaces || connection.namespace_count() > 0;
        let heartbeat = &connection.heartbeat;
        let close_at = heartbeat.seen.load(Relaxed) + self.times.interval + self.times.timeout;
        (now >= close_at && !heartbeat.busy.load(Relaxed))
            || (!in_namespace && now >= heartbeat.outside_since.load(Relaxed) + self.times.connect)
    }

    /// Turns the wheel until the gateway is gone.
    pub(crate) async fn run(gateway: Weak<Shared>, tick: Duration) {
        let mut timer = tokio::time::interval(tick);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut done = 0;
        loop {
            timer.tick().await;
            let Some(gateway) = gateway.upgrade() else {
                return;
            };
            let now = gateway.now_millis();
            let wheel = &gateway.wheel;
            let current = now / wheel.tick;
            // After a stall each slot is visited once, however many ticks were missed.
            let from = (done + 1).max((current + 1).saturating_sub(wheel.slots.len() as u64));
            for tick in from..=current {
                let due =
                    std::mem::take(&mut *wheel.slots[tick as usize % wheel.slots.len()].lock());
                for (index, sid) in due.into_iter().enumerate() {
                    if let Some(connection) = gateway.find(&sid) {
                        wheel.visit(&connection, now);
                    }
                    if index % 256 == 255 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            done = current;
        }
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick)
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
        let in_namespace = !self.namespaces || connection.namespace_count() > 0;
        let (due, again) = self.times.judge(&connection.heartbeat, in_namespace, now);
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

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        interval: 300,
        timeout: 200,
        connect: 1_000,
    };

    #[test]
    fn pings_then_closes_what_stays_silent() {
        let heartbeat = Heartbeat::new(1_000);
        assert_eq!(TIMES.judge(&heartbeat, true, 1_299), (Due::Nothing, 1_300));
        assert_eq!(TIMES.judge(&heartbeat, true, 1_300), (Due::Ping, 1_500));
        assert_eq!(TIMES.judge(&heartbeat, true, 1_400), (Due::Nothing, 1_500));
        let (due, _) = TIMES.judge(&heartbeat, true, 1_500);
        assert_eq!(due, Due::Close(CloseReason::PingTimeout));
    }

    #[test]
    fn a_pong_starts_the_next_interval() {
        let heartbeat = Heartbeat::new(0);
        assert_eq!(TIMES.judge(&heartbeat, true, 310).0, Due::Ping);
        heartbeat.pong(320);
        assert_eq!(TIMES.judge(&heartbeat, true, 500), (Due::Nothing, 620));
        assert_eq!(TIMES.judge(&heartbeat, true, 625).0, Due::Ping);
    }

    #[test]
    fn a_late_ping_does_not_extend_the_timeout() {
        let heartbeat = Heartbeat::new(0);
        assert_eq!(TIMES.judge(&heartbeat, true, 450), (Due::Ping, 500));
    }

    #[test]
    fn without_a_namespace_the_connection_ends() {
        let heartbeat = Heartbeat::new(0);
        heartbeat.pong(900);
        assert_eq!(TIMES.judge(&heartbeat, false, 950), (Due::Nothing, 1_000));
        let (due, _) = TIMES.judge(&heartbeat, false, 1_000);
        assert_eq!(due, Due::Close(CloseReason::ConnectTimeout));
    }

    #[test]
    fn a_busy_connection_is_not_judged() {
        let heartbeat = Heartbeat::new(0);
        heartbeat.set_busy(true, 0);
        assert_eq!(TIMES.judge(&heartbeat, true, 300).0, Due::Ping);
        assert_eq!(TIMES.judge(&heartbeat, true, 900).0, Due::Nothing);
        heartbeat.set_busy(false, 900);
        assert_eq!(TIMES.judge(&heartbeat, true, 901).0, Due::Nothing);
        let (due, _) = TIMES.judge(&heartbeat, true, 1_500);
        assert_eq!(due, Due::Close(CloseReason::PingTimeout));
    }
}
