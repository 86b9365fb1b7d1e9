//! When a connection is pinged, and when it is closed for want of a pong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::close::CloseReason;

/// A connection's times, in milliseconds since the gateway's start.
pub(crate) struct Heartbeat {
    /// The last pong, or the opening.
    seen: AtomicU64,
    /// Since when the connection is in no namespace: its opening, or its leaving the last one.
    outside_since: AtomicU64,
    /// A ping is due or sent, and not answered.
    waiting: AtomicBool,
    /// The application is at work on an event, so that a pong behind it can't be read: its silence isn't counted.
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

    /// The application is done with the event, if there was one.
    pub(crate) fn resume(&self, now: impl FnOnce() -> u64) {
        if self.busy.load(Relaxed) {
            self.set_busy(false, now());
        }
    }

    pub(crate) fn set_busy(&self, busy: bool, now: u64) {
        if !busy && self.waiting.load(Relaxed) {
            // The pong may have waited behind the event: check anew from here.
            self.seen.store(now, Relaxed);
        }
        self.busy.store(busy, Relaxed);
    }
}

/// What is to be done with a connection now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    Close(CloseReason),
    Nothing,
}

/// Intervals and timeouts, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) connect: u64,
}

impl Times {
    /// What is due at `now`, and when to look again.
    pub(crate) fn check(self, heartbeat: &Heartbeat, in_namespace: bool, now: u64) -> (Due, u64) {
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

    /// Whether the connection should have been closed by `now`.
    pub(crate) fn is_overdue(self, heartbeat: &Heartbeat, in_namespace: bool, now: u64) -> bool {
        let close_at = heartbeat.seen.load(Relaxed) + self.interval + self.timeout;
        let connect_by = heartbeat.outside_since.load(Relaxed) + self.connect;
        (now >= close_at && !heartbeat.busy.load(Relaxed)) || (!in_namespace && now >= connect_by)
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
        assert_eq!(TIMES.check(&heartbeat, true, 1_299), (Due::Nothing, 1_300));
        assert_eq!(TIMES.check(&heartbeat, true, 1_300), (Due::Ping, 1_500));
        assert_eq!(TIMES.check(&heartbeat, true, 1_400), (Due::Nothing, 1_500));
        let (due, _) = TIMES.check(&heartbeat, true, 1_500);
        assert_eq!(due, Due::Close(CloseReason::PingTimeout));
    }

    #[test]
    fn a_pong_starts_the_next_interval() {
        let heartbeat = Heartbeat::new(0);
        assert_eq!(TIMES.check(&heartbeat, true, 310).0, Due::Ping);
        heartbeat.pong(320);
        assert_eq!(TIMES.check(&heartbeat, true, 500), (Due::Nothing, 620));
        assert_eq!(TIMES.check(&heartbeat, true, 625).0, Due::Ping);
    }

    #[test]
    fn a_late_ping_does_not_extend_the_timeout() {
        let heartbeat = Heartbeat::new(0);
        assert_eq!(TIMES.check(&heartbeat, true, 450), (Due::Ping, 500));
    }

    #[test]
    fn without_a_namespace_the_connection_ends() {
        let heartbeat = Heartbeat::new(0);
        heartbeat.pong(900);
        assert_eq!(TIMES.check(&heartbeat, false, 950), (Due::Nothing, 1_000));
        let (due, _) = TIMES.check(&heartbeat, false, 1_000);
        assert_eq!(due, Due::Close(CloseReason::ConnectTimeout));
    }

    #[test]
    fn a_busy_connection_is_not_judged() {
        let heartbeat = Heartbeat::new(0);
        heartbeat.set_busy(true, 0);
        assert_eq!(TIMES.check(&heartbeat, true, 300).0, Due::Ping);
        assert_eq!(TIMES.check(&heartbeat, true, 900).0, Due::Nothing);
        heartbeat.set_busy(false, 900);
        assert_eq!(TIMES.check(&heartbeat, true, 901).0, Due::Nothing);
        let (due, _) = TIMES.check(&heartbeat, true, 1_500);
        assert_eq!(due, Due::Close(CloseReason::PingTimeout));
    }
}
