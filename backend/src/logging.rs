//! The log: one line an event on standard output, as text for people or as JSON for machines. What may never be in it
//! (passwords, tokens, bodies of messages) is kept out by types that don't print.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing_subscriber::{
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::Config;

/// The log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter of the configuration isn't one.
    #[error("LOG_LEVEL can't be used")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of this process.
///
/// # Errors
/// If the filter doesn't parse or the process has a log already.
pub fn init(config: &Config) -> Result<(), LoggingError> {
    let filter: Targets = config.log_level.parse()?;
    let registry = tracing_subscriber::registry().with(filter);
    // When standard output is closed, standard error may be closed as well.
    let lines = fmt::layer().log_internal_errors(false);
    if config.log_json {
        registry.with(lines.json().flatten_event(true)).try_init()?;
    } else {
        registry.with(lines).try_init()?;
    }
    Ok(())
}

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
