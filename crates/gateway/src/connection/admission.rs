//! How many events a client may send.

use crate::{
    config::Config,
    rate_limiter::{RateLimit, RateLimiter},
};

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    Refused,
    /// So many were refused that the connection is closed.
    Abuse,
}

/// Counts an event at `now`, in microseconds since the gateway's start. Only the task, or the one POST, of the connection
/// does so.
pub(crate) fn admit(events: &RateLimiter, config: &Config, now: u64) -> Admission {
    let limit = RateLimit {
        per_second: config.events_per_second,
        burst: config.event_burst,
    };
    match events.count(limit, now) {
        0 => Admission::Admitted,
        excess if excess > u64::from(config.event_abuse) => Admission::Abuse,
        _ => Admission::Refused,
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
        let rate = RateLimiter::default();
        let at = |now| admit(&rate, &config, now);
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
            assert_eq!(
                admit(&RateLimiter::default(), &config, 0),
                Admission::Admitted
            );
        }
    }
}
