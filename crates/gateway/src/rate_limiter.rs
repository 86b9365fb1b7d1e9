//! How often something may happen.
//!
//! The generic cell rate algorithm (ITU-T I.371). All that is kept is one number, the time at which the next one would
//! arrive at the sustained rate, so a connection pays 8 bytes. `governor` is the same algorithm, but each of its limiters
//! keeps its quota and its clock too (some 50 bytes), and it forgets what it refused, by which abuse is known here.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A sustained rate, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Sustained, at least 1.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// Counts what is limited by a [`RateLimit`]. Many threads may share one; it has no lock.
#[derive(Debug, Default)]
pub struct RateLimiter(AtomicU64);

impl RateLimit {
    /// Microseconds from one to the next at the sustained rate.
    fn interval(self) -> u64 {
        (1_000_000 / u64::from(self.per_second.max(1))).max(1)
    }
}

impl RateLimiter {
    /// Takes one at `now`, in microseconds on any clock that doesn't run backwards.
    ///
    /// # Errors
    /// If that is too many: how long until there is room. Nothing was counted then.
    pub fn take(&self, limit: RateLimit, now: u64) -> Result<(), Duration> {
        let interval = limit.interval();
        let most = now + interval * u64::from(limit.burst.max(1));
        let taken = self.0.fetch_update(Relaxed, Relaxed, |next| {
            let next = next.max(now) + interval;
            (next <= most).then_some(next)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(next) => Err(Duration::from_micros(next + interval - most)),
        }
    }

    /// Counts one at `now` whether it is too many or not, and returns by how many the burst is exceeded. For one thread at a
    /// time.
    pub(crate) fn count(&self, limit: RateLimit, now: u64) -> u64 {
        let interval = limit.interval();
        let next = self.0.load(Relaxed).max(now) + interval;
        self.0.store(next, Relaxed);
        ((next - now) / interval).saturating_sub(u64::from(limit.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        per_second: 100,
        burst: 3,
    };

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = RateLimiter::default();
        for _ in 0..3 {
            assert_eq!(limiter.take(LIMIT, 1_000), Ok(()));
        }
        let wait = limiter.take(LIMIT, 1_000).unwrap_err();
        assert_eq!(wait, Duration::from_millis(10));
        // What was refused isn't counted, and the wait is exact.
        assert!(limiter.take(LIMIT, 10_999).is_err());
        assert_eq!(limiter.take(LIMIT, 11_000), Ok(()));
        assert!(limiter.take(LIMIT, 11_000).is_err());
        let taken = (0..9).filter(|_| limiter.take(LIMIT, 10_000_000).is_ok());
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn what_is_refused_may_count_too() {
        let limiter = RateLimiter::default();
        let at = |now| limiter.count(LIMIT, now);
        assert_eq!([at(1_000), at(1_000), at(1_000)], [0; 3]);
        assert_eq!((at(1_000), at(11_000)), (1, 1));
        assert_eq!(at(31_000), 0);
        assert_eq!(at(10_000_000), 0);
    }

    #[test]
    fn any_limit_lets_one_through() {
        for per_second in [0, 1, 3_000_000, u32::MAX] {
            for burst in [0, 1, u32::MAX] {
                let limit = RateLimit { per_second, burst };
                assert_eq!(RateLimiter::default().take(limit, 5), Ok(()));
            }
        }
    }
}
