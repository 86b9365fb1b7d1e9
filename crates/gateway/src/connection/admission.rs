//! How many events a client may send.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number, the theoretical arrival time of the next event, is all
//! that a connection keeps.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Config;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    Refused,
    Abuse,
}

/// Theoretical arrival time of the next event, in microseconds since the gateway's start.
#[derive(Default)]
pub(crate) struct Rate(AtomicU64);

impl Rate {
    /// Takes one event at `now` into account.
    pub(crate) fn admit(&self, config: &Config, now: u64) -> Admission {
        let interval = (1_000_000 / u64::from(config.events_per_second.max(1))).max(1);
        // Only the task, or the one POST, of the connection comes here.
        let next = self.0.load(Ordering::Relaxed).max(now) + interval;
        self.0.store(next, Ordering::Relaxed);
        let ahead = (next - now) / interval;
        let burst = u64::from(config.event_burst);
        if ahead > burst + u64::from(config.event_abuse) {
            Admission::Abuse
        } else if ahead > burst {
            Admission::Refused
        } else {
            Admission::Admitted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate_then_abuse() {
        let config = Config {
            events_per_second: 100,
            event_burst: 3,
            event_abuse: 2,
            ..Config::default()
        };
        let rate = Rate::default();
        let at = |now| rate.admit(&config, now);
        for _ in 0..3 {
            assert_eq!(at(1_000), Admission::Admitted);
        }
        assert_eq!(at(1_000), Admission::Refused);
        // Refused events count too.
        assert_eq!(at(11_000), Admission::Refused);
        assert_eq!(at(31_000), Admission::Admitted);
        for _ in 0..2 {
            assert_eq!(at(31_000), Admission::Refused);
        }
        assert_eq!(at(31_000), Admission::Abuse);
        assert_eq!(at(10_000_000), Admission::Admitted);
    }

    #[test]
    fn any_rate_can_be_told() {
        for events_per_second in [0, 1, 3_000_000, u32::MAX] {
            let config = Config {
                events_per_second,
                ..Config::default()
            };
            assert_eq!(Rate::default().admit(&config, 0), Admission::Admitted);
        }
    }
}
