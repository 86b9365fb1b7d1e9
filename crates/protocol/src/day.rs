//! Days on the wire: those of UTC, as in `2026-01-31`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

const MS: i64 = 24 * 60 * 60 * 1_000;

/// A day of UTC, from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// A text that is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a day such as 2026-01-31")]
pub struct MalformedDay;

impl Day {
    /// That of a moment.
    pub const fn of(moment: Timestamp) -> Self {
        Self(moment.unix_ms() / MS)
    }

    /// That of the present, by the system's clock.
    pub fn today() -> Self {
        Self::of(Timestamp::now())
    }

    /// The day so many days later, or earlier.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self::of(Timestamp::from_unix_ms(
            self.0.saturating_add(days).saturating_mul(MS),
        ))
    }

    /// How many days later than another one it is.
    pub const fn since(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp::from_unix_ms(self.0 * MS).to_string();
        f.write_str(start.split('T').next().unwrap_or_default())
    }
}

impl FromStr for Day {
    type Err = MalformedDay;

    fn from_str(text: &str) -> Result<Self, MalformedDay> {
        let start = humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
        let day = Self::of(start.map_err(|_| MalformedDay)?.into());
        // What was before 1970 would become that.
        match day.to_string() == text {
            true => Ok(day),
            false => Err(MalformedDay),
        }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date",
            "description": "A day of UTC.",
            "examples": ["2026-01-31"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written() {
        for text in ["1970-01-01", "2026-01-31", "2028-02-29", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026-1-31",
            "2026-02-30",
            "1969-12-31",
            "2026-01-31T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Day>(), Err(MalformedDay), "{text}");
        }
        let day: Day = "2026-02-28".parse().unwrap();
        assert_eq!(day.plus(1).to_string(), "2026-03-01");
        assert_eq!(day.plus(-59).to_string(), "2025-12-31");
        assert_eq!(day.plus(365).since(day), 365);
        let last = Timestamp::from_unix_ms(day.plus(1).0 * MS - 1);
        assert_eq!(Day::of(last), day);
    }
}
