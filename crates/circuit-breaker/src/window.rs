//! The outcomes of the recent past: a ring of counters, each for a tenth of the window.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Settings;

const BUCKETS: usize = 10;
const COUNT_BITS: u32 = 16;
const MOST: u64 = (1 << COUNT_BITS) - 1;

/// How many calls ended in the window, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u32,
    pub(crate) failures: u32,
}

impl Tally {
    /// Enough calls to judge by.
    pub(crate) fn is_enough(self, settings: &Settings) -> bool {
        self.calls >= settings.minimum_calls
    }

    pub(crate) fn is_too_bad(self, settings: &Settings) -> bool {
        u64::from(self.failures) * 100
            >= u64::from(self.calls) * u64::from(settings.failure_threshold)
    }
}

pub(crate) struct Window {
    /// Milliseconds of each bucket.
    width: u64,
    buckets: [AtomicU64; BUCKETS],
}

/// The number of the tenth that a bucket is of (32 bits), the failures and the calls in it.
#[derive(Clone, Copy)]
struct Bucket(u64);

impl Bucket {
    fn new(tenth: u32, failures: u64, calls: u64) -> Self {
        Self((u64::from(tenth) << (2 * COUNT_BITS)) | (failures << COUNT_BITS) | calls)
    }

    fn tenth(self) -> u32 {
        (self.0 >> (2 * COUNT_BITS)) as u32
    }

    fn failures(self) -> u64 {
        (self.0 >> COUNT_BITS) & MOST
    }

    fn calls(self) -> u64 {
        self.0 & MOST
    }

    fn with(self, tenth: u32, failed: bool) -> Self {
        let failed = u64::from(failed);
        if self.tenth() != tenth {
            return Self::new(tenth, failed, 1);
        }
        // A full counter keeps the rate.
        let halves = u32::from(self.calls() == MOST);
        Self::new(
            tenth,
            (self.failures() >> halves) + failed,
            (self.calls() >> halves) + 1,
        )
    }
}

impl Window {
    pub(crate) fn new(settings: &Settings) -> Self {
        let width = settings.window.as_millis() as u64 / BUCKETS as u64;
        Self {
            width: width.max(1),
            buckets: Default::default(),
        }
    }

    pub(crate) fn record(&self, failed: bool, now: u64) {
        let tenth = self.tenth(now);
        let bucket = &self.buckets[tenth as usize % BUCKETS];
        let mut before = bucket.load(Relaxed);
        loop {
            let after = Bucket(before).with(tenth, failed).0;
            match bucket.compare_exchange_weak(before, after, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    pub(crate) fn tally(&self, now: u64) -> Tally {
        let last = self.tenth(now);
        let buckets = self.buckets.iter().map(|b| Bucket(b.load(Relaxed)));
        let recent = buckets.filter(|b| last.wrapping_sub(b.tenth()) < BUCKETS as u32);
        recent.fold(Tally::default(), |tally, b| Tally {
            calls: tally.calls + b.calls() as u32,
            failures: tally.failures + b.failures() as u32,
        })
    }

    /// An outcome that is recorded at the same time may be forgotten or not.
    pub(crate) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
    }

    fn tenth(&self, now: u64) -> u32 {
        (now / self.width) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let settings = Settings::new(50, Duration::from_secs(1)).window(Duration::from_secs(1));
        let window = Window::new(&settings);
        let tally = |now| {
            let tally = window.tally(now);
            (tally.calls, tally.failures)
        };
        window.record(true, 0);
        window.record(false, 950);
        assert_eq!(tally(999), (2, 1));
        assert_eq!(tally(1_000), (1, 0));
        window.record(true, 1_000);
        assert_eq!(tally(1_899), (2, 1));
        assert_eq!(tally(1_999), (1, 1));
        assert_eq!(tally(60_000), (0, 0));
        window.record(true, 60_000);
        window.clear();
        assert_eq!(tally(60_000), (0, 0));
    }

    #[test]
    fn a_full_counter_keeps_the_rate() {
        let window = Window::new(&Settings::new(50, Duration::from_secs(1)));
        for call in 0..1_000_000 {
            window.record(call % 4 == 0, 5);
        }
        let Tally { calls, failures } = window.tally(5);
        assert!((30_000..=65_535).contains(&calls));
        assert!(
            (calls / 4).abs_diff(failures) < 100,
            "{failures} of {calls}"
        );
    }
}
