//! When a circuit opens, and for how long.

use std::{fmt, str::FromStr, time::Duration};

/// The settings of one circuit, as text `50%/60s`: the failure threshold and the recovery timeout, and behind commas what else
/// differs: `50%/60s,calls=20,window=30s,slow=2s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The share of failures in percent from which on the circuit opens: 1 to 100.
    pub failure_threshold: u8,
    /// How long an open circuit refuses calls before it admits the next probe.
    pub recovery_timeout: Duration,
    /// How many calls must have ended in the window before their failures are judged; at least 1.
    pub minimum_calls: u32,
    /// The past whose calls are judged.
    pub window: Duration,
    /// A call that took so long counts as a failure, whatever its outcome.
    pub slow_call: Option<Duration>,
}

const DURATION: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(3_600);

impl Settings {
    /// At least 10 calls of the last minute, however slow.
    pub fn new(failure_threshold: u8, recovery_timeout: Duration) -> Self {
        Self {
            failure_threshold: failure_threshold.clamp(1, 100),
            recovery_timeout,
            minimum_calls: 10,
            window: Duration::from_secs(60),
            slow_call: None,
        }
    }

    /// With another minimum of calls.
    #[must_use]
    pub fn minimum_calls(self, minimum_calls: u32) -> Self {
        Self {
            minimum_calls: minimum_calls.max(1),
            ..self
        }
    }

    /// With another window.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// With calls counting as failures that took so long.
    #[must_use]
    pub fn slow_call(self, slow_call: Duration) -> Self {
        Self {
            slow_call: Some(slow_call),
            ..self
        }
    }

    /// These, with what `text` says instead.
    ///
    /// # Errors
    /// If the text isn't of the form that [`Settings`] names.
    pub fn overridden(mut self, text: &str) -> Result<Self, MalformedSettings> {
        let mut parts = text.split(',').map(str::trim);
        let (threshold, timeout) = parts
            .next()
            .and_then(|rate| rate.split_once('/'))
            .ok_or(MalformedSettings)?;
        self.failure_threshold = threshold
            .strip_suffix('%')
            .and_then(|percent| percent.parse().ok())
            .filter(|percent| (1..=100).contains(percent))
            .ok_or(MalformedSettings)?;
        self.recovery_timeout = duration(timeout)?;
        for part in parts {
            match part.split_once('=').ok_or(MalformedSettings)? {
                ("calls", calls) => {
                    let calls = calls.parse().ok();
                    self.minimum_calls = calls
                        .filter(|calls| (1..=10_000).contains(calls))
                        .ok_or(MalformedSettings)?;
                }
                ("window", window) => self.window = duration(window)?,
                ("slow", slow) => self.slow_call = Some(duration(slow)?),
                _ => return Err(MalformedSettings),
            }
        }
        Ok(self)
    }
}

impl FromStr for Settings {
    type Err = MalformedSettings;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(50, Duration::from_secs(60)).overridden(text)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}%/{:?},calls={},window={:?}",
            self.failure_threshold, self.recovery_timeout, self.minimum_calls, self.window
        )?;
        match self.slow_call {
            Some(slow) => write!(f, ",slow={slow:?}"),
            None => Ok(()),
        }
    }
}

/// A text that is no [`Settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a failure threshold and a recovery timeout such as 50%/60s, and perhaps ,calls=20 ,window=30s ,slow=2s behind them"
)]
pub struct MalformedSettings;

/// A whole number of `ms`, `s`, `m` or `h`: 10 ms to an hour.
fn duration(text: &str) -> Result<Duration, MalformedSettings> {
    let digits = text
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| MalformedSettings)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(MalformedSettings),
    };
    let duration = Duration::from_millis(number.saturating_mul(unit_ms));
    DURATION
        .contains(&duration)
        .then_some(duration)
        .ok_or(MalformedSettings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        let settings: Settings = "25%/30s,calls=5,window=10s,slow=250ms".parse().unwrap();
        let expected = Settings::new(25, Duration::from_secs(30))
            .minimum_calls(5)
            .window(Duration::from_secs(10))
            .slow_call(Duration::from_millis(250));
        assert_eq!(settings, expected);
        assert_eq!(settings.to_string().parse(), Ok(settings));
        let defaults = Settings::new(50, Duration::from_secs(60));
        assert_eq!("50%/60s".parse(), Ok(defaults));
        assert_eq!("50%/1m, calls=10".parse(), Ok(defaults));
        let few = defaults.minimum_calls(3).overridden("10%/1h").unwrap();
        assert_eq!((few.minimum_calls, few.failure_threshold), (3, 10));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for text in [
            "",
            "50",
            "50%",
            "50/60s",
            "0%/60s",
            "101%/60s",
            "50%/60",
            "50%/0s",
            "50%/2h",
            "50%/-1s",
            "50%/60s,",
            "50%/60s,calls=0",
            "50%/60s,calls",
            "50%/60s,fast=1s",
            "50%/60s,window=1d",
            "50%/60s/5",
            "50%/99999999999999999999s",
            "50%/18446744073709551615h",
        ] {
            assert_eq!(text.parse::<Settings>(), Err(MalformedSettings), "{text}");
        }
    }
}
