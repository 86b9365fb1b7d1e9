//! Timestamps on the wire: ISO 8601 in UTC with milliseconds, as in `2026-01-31T09:30:00.125Z`.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, never negative and never past the year 9999, so that every
/// value has a text of the one fixed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    const LAST: i64 = 253_402_300_799_999;

    /// The moment so many milliseconds after the Unix epoch; one outside 1970 to 9999 becomes the
    /// nearest inside.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(if ms < 0 {
            0
        } else if ms > Self::LAST {
            Self::LAST
        } else {
            ms
        })
    }

    /// The present, by the system's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The moment so much later.
    #[must_use]
    pub const fn plus(self, time: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_add(millis(time)))
    }

    /// The moment so much earlier.
    #[must_use]
    pub const fn minus(self, time: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_sub(millis(time)))
    }

    /// How much later than another moment it is; nothing if it is earlier.
    pub const fn since(self, other: Self) -> Duration {
        Duration::from_millis(if self.0 > other.0 {
            (self.0 - other.0).unsigned_abs()
        } else {
            0
        })
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }
}

const fn millis(time: Duration) -> i64 {
    let millis = time.as_millis();
    if millis > i64::MAX as u128 {
        i64::MAX
    } else {
        millis as i64
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Self::from_unix_ms(ms)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.0.unsigned_abs())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text)
            .map_err(|_| serde::de::Error::custom("expected an ISO 8601 time in UTC"))?;
        Ok(time.into())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601 in UTC with milliseconds.",
            "examples": ["2026-01-31T09:30:00.125Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_added_and_taken_within_what_can_be_written() {
        let moment = Timestamp::from_unix_ms(1_000);
        let second = Duration::from_secs(1);
        assert_eq!(moment.plus(second).unix_ms(), 2_000);
        assert_eq!(moment.minus(second).unix_ms(), 0);
        assert_eq!(moment.minus(Duration::MAX).unix_ms(), 0);
        assert_eq!(moment.plus(Duration::MAX).unix_ms(), Timestamp::LAST);
        assert_eq!(moment.plus(second).since(moment), second);
        assert_eq!(moment.since(moment.plus(second)), Duration::ZERO);
    }
}
