//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// Long enough that a fleet doesn't overwhelm a Redis that comes back, short enough to notice soon that it is back.
const LONGEST: Duration = Duration::from_secs(2);

/// The wait after so many failures in a row: doubled from 50 ms to 2 s, then shortened at random by up to half, so that
/// those who failed together don't come back together.
pub(crate) fn backoff(failures: u32) -> Duration {
    let full = FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST);
    jittered(full)
}

/// Between half of it and all of it.
pub(crate) fn jittered(full: Duration) -> Duration {
    full.mul_f64(rand::random_range(0.5..1.0))
}
