//! Log lines of what happens in bursts.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// While events go on without a pause, one is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(10);

/// Limits the log lines of events that happen in bursts, a thousand times a second.
pub struct LogThrottle(Mutex<Throttled>);

struct Throttled {
    last: Option<Instant>,
    /// Events since the last logged one.
    suppressed: u64,
}

impl LogThrottle {
    /// No event has happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Throttled {
            last: None,
            suppressed: 0,
        }))
    }

    /// Records an event. If it is to be logged, returns the number of events that were suppressed before it.
    pub fn record(&self) -> Option<u64> {
        self.record_at(Instant::now())
    }

    fn record_at(&self, now: Instant) -> Option<u64> {
        let mut throttled = self.0.lock();
        let is_recent = |last| now.saturating_duration_since(last) < LOG_AGAIN;
        if throttled.last.is_some_and(is_recent) {
            throttled.suppressed += 1;
            return None;
        }
        throttled.last = Some(now);
        Some(std::mem::take(&mut throttled.suppressed))
    }
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_is_told_once_and_again_while_it_goes_on() {
        let throttle = LogThrottle::new();
        let began = Instant::now();
        assert_eq!(throttle.record_at(began), Some(0));
        for _ in 0..1_000 {
            assert_eq!(throttle.record_at(began + LOG_AGAIN / 2), None);
        }
        assert_eq!(throttle.record_at(began + LOG_AGAIN), Some(1_000));
        assert_eq!(throttle.record_at(began + LOG_AGAIN * 3), Some(0));
    }
}
