//! What is limited, and how much is allowed.

use std::{fmt, str::FromStr, time::Duration};

/// Slots into which a window is divided: a permit counts up to a sixtieth of the window longer than it has to.
const SLOTS: u64 = 60;

/// How much is allowed in every window, wherever it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Permits of one window, at least 1.
    pub permits: u32,
    /// Its length, a second to a day.
    pub window: Duration,
}

/// How the instances of a fleet agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each permit is asked for.
    Strict,
    /// Permits are leased in batches and used without asking.
    Leased,
}

/// One kind of what is limited.
#[derive(Debug, Clone, Copy)]
pub struct Tier {
    /// In keys and metrics.
    pub name: &'static str,
    /// `None` if it isn't limited.
    pub limit: Option<Limit>,
    /// How the instances agree.
    pub mode: Mode,
}

/// What isn't a limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a limit such as 5/15m: a number from 1 to 1000000000, and a window from 1s to 1d")]
pub struct MalformedLimit;

impl Limit {
    /// So many permits in a window of so many seconds.
    pub const fn of(permits: u32, seconds: u64) -> Self {
        Self {
            permits,
            window: Duration::from_secs(seconds),
        }
    }
}

impl FromStr for Limit {
    type Err = MalformedLimit;

    /// As in `5/15m`, with `s`, `m`, `h` or `d`.
    fn from_str(text: &str) -> Result<Self, MalformedLimit> {
        let number = |digits: &str| -> Result<u64, MalformedLimit> {
            let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().map_err(|_| MalformedLimit)?;
            if only_digits {
                Ok(number)
            } else {
                Err(MalformedLimit)
            }
        };
        let (permits, window) = text.split_once('/').ok_or(MalformedLimit)?;
        let permits = number(permits)?;
        let unit = match window.bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(MalformedLimit),
        };
        let count = number(&window[..window.len() - 1])?;
        let seconds = count.checked_mul(unit).ok_or(MalformedLimit)?;
        if !(1..=1_000_000_000).contains(&permits) || !(1..=86_400).contains(&seconds) {
            return Err(MalformedLimit);
        }
        Ok(Self::of(permits as u32, seconds))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window.as_secs();
        let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
        let (unit, letter) = units
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit))
            .unwrap_or((1, 's'));
        write!(f, "{}/{}{letter}", self.permits, seconds / unit)
    }
}

/// The numbers that follow from a limit and a mode. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) limit: u32,
    pub(crate) width: u64,
    /// How long a permit counts after its slot's end where the instances share the count. Leased permits are used up to
    /// [`lease`](Self::lease) later than they were counted, so they count for as much longer.
    pub(crate) shared_hold: u64,
    /// The same in memory, where a permit is counted when it is used.
    pub(crate) hold: u64,
    /// How long a leased permit may be used; 0 if none are leased.
    pub(crate) lease: u64,
    /// Permits that are leased at once.
    pub(crate) batch: u32,
    /// Permits of a window that an instance grants before it asks for the first time.
    pub(crate) credit: u32,
}

impl Shape {
    pub(crate) fn new(limit: Limit, mode: Mode) -> Self {
        let window = limit.window.as_millis() as u64;
        let lease = match mode {
            Mode::Strict => 0,
            Mode::Leased => window / 10,
        };
        let share = (limit.permits / 20).max(1);
        Self {
            limit: limit.permits,
            width: window.div_ceil(SLOTS),
            shared_hold: window + lease,
            hold: window,
            lease,
            batch: share,
            credit: share,
        }
    }

    /// After how long without a permit nothing counts any more.
    pub(crate) fn memory(&self) -> u64 {
        self.shared_hold + self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in ["5/15m", "100/1m", "1000/1s", "10/1h", "1/1d", "7/90s"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        assert_eq!("90/60s".parse(), Ok(Limit::of(90, 60)));
        for wrong in [
            "",
            "5",
            "/",
            "5/",
            "/15m",
            "5/15",
            "5/m",
            "0/1m",
            "5/0m",
            "-5/1m",
            "+5/1m",
            "5/+1m",
            "5/1w",
            "5/2d",
            "5.5/1m",
            " 5/1m",
            "5/1m ",
            "5/15M",
            "5/1é",
            "99999999999/1m",
            "5/99999999999999999999d",
            "5/15m/1",
        ] {
            assert_eq!(wrong.parse::<Limit>(), Err(MalformedLimit), "{wrong}");
        }
    }
}
