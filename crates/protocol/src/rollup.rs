//! What happened on each day, as administrators see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Day;
use crate::limits::ROLLUPS_MAX;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// What happened on a day that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollup {
    /// The day.
    pub day: Day,
    /// Messages that were sent.
    pub messages: u64,
    /// Users who were connected or sent a message.
    pub active_users: u64,
}

/// Days in their order, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollupPage {
    /// Those of the days that are over, since this is counted.
    pub rollups: Vec<Rollup>,
    /// False.
    pub has_more: bool,
}

/// Reads what happened on each of these days; of the last thirty, without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListRollups {
    /// The first day; 29 days before the last one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Day>,
    /// The last day; yesterday by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Day>,
}

impl ListRollups {
    /// The first and the last day.
    pub fn days(&self, today: Day) -> (Day, Day) {
        let to = self.to.unwrap_or(today.plus(-1));
        (self.from.unwrap_or(to.plus(-29)), to)
    }
}

impl Request for ListRollups {
    fn validate(&self) -> Result<(), Invalid> {
        let (from, to) = self.days(Day::today());
        if to.since(from) >= ROLLUPS_MAX {
            let expected = format!("expected at most {ROLLUPS_MAX} days");
            return Err(Invalid::new("from", expected));
        }
        Ok(())
    }
}
