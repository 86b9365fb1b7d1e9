//! When a failed job is tried again.

use std::time::Duration;

/// How often a job is tried, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Runs in all, those included in which the process died.
    pub runs: u32,
    /// From the first failure to the second run.
    pub first_delay: Duration,
    /// What each delay is of the one before.
    pub factor: u32,
    /// No delay is longer.
    pub longest_delay: Duration,
}

impl Retries {
    /// For what depends on a service that may be away for hours: 15 runs in 6 to 9 hours. A delay is about as long as the outage
    /// was until then.
    pub const PATIENT: Self = Self {
        runs: 15,
        first_delay: Duration::from_secs(5),
        factor: 2,
        longest_delay: Duration::from_secs(2 * 60 * 60),
    };

    /// For what somebody waits for: 6 runs in some minutes.
    pub const PROMPT: Self = Self {
        runs: 6,
        first_delay: Duration::from_secs(1),
        factor: 3,
        longest_delay: Duration::from_secs(5 * 60),
    };

    /// How long the next run waits after the failure of the run of this number, the first of which is 1. Between half of what the
    /// schedule says and all of it, so that jobs that failed together don't come back together.
    pub fn delay(&self, failed: u32) -> Duration {
        let growth = self.factor.saturating_pow(failed.saturating_sub(1));
        let whole = self
            .first_delay
            .saturating_mul(growth)
            .min(self.longest_delay);
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_jitter_up_to_the_longest() {
        let retries = Retries {
            runs: 9,
            first_delay: Duration::from_secs(2),
            factor: 3,
            longest_delay: Duration::from_secs(60),
        };
        for (failed, whole) in [(1, 2), (2, 6), (3, 18), (4, 54), (5, 60), (u32::MAX, 60)] {
            let whole = Duration::from_secs(whole);
            let delays: Vec<_> = (0..100).map(|_| retries.delay(failed)).collect();
            assert!(
                delays
                    .iter()
                    .all(|delay| (whole / 2..=whole).contains(delay))
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]));
        }
    }
}
