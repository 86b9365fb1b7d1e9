//! What happens a thousand times a second and is worth a line of the log a burst.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// As long as a burst goes on, it's told of again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// Something that happens in bursts.
pub struct Burst(Mutex<Told>);

struct Told {
    last: Option<Instant>,
    /// How often it happened since.
    since: u64,
}

impl Burst {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Told {
            last: None,
            since: 0,
        }))
    }

    /// It happened. If it's to be told of, returns how often it happened untold.
    pub fn happened(&self) -> Option<u64> {
        self.happened_at(Instant::now())
    }

    fn happened_at(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let is_lately = |last| now.saturating_duration_since(last) < AGAIN;
        if told.last.is_some_and(is_lately) {
            told.since += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once_and_again_while_it_goes_on() {
        let burst = Burst::new();
        let began = Instant::now();
        assert_eq!(burst.happened_at(began), Some(0));
        for _ in 0..1_000 {
            assert_eq!(burst.happened_at(began + AGAIN / 2), None);
        }
        assert_eq!(burst.happened_at(began + AGAIN), Some(1_000));
        assert_eq!(burst.happened_at(began + AGAIN * 3), Some(0));
    }
}
