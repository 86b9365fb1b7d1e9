//! Jobs that failed for good, as administrators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::bounds;
use crate::limits::{PAGE_MAX, PAGE_NUMBER_MAX};
use crate::named::named;
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// The longest kind and id of a job, in bytes.
pub const JOB_TEXT_MAX: usize = 255;

/// A job that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadJob {
    /// What it does, such as `image.process`.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Since when it was wanted.
    pub enqueued_at: Timestamp,
    /// Since when it isn't tried any more.
    pub died_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: String,
}

/// Lists jobs that failed for good, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct ListDeadJobs {
    /// Only those of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = JOB_TEXT_MAX))]
    pub kind: Option<String>,
    /// The number of the page; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_NUMBER_MAX))]
    pub page: Option<u32>,
    /// The most entries of a page; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Request for ListDeadJobs {
    fn validate(&self) -> Result<(), Invalid> {
        if let Some(kind) = &self.kind {
            check("kind", kind)?;
        }
        bounds::page(self.page)?;
        bounds::limit(self.limit, PAGE_MAX)
    }
}

/// What is done about a job that failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadJobAction {
    /// It is enqueued again, as if it was new.
    Replay,
    /// It is forgotten.
    Drop,
}

named! {
    DeadJobAction:
        Replay "replay",
        Drop "drop",
}

/// Enqueues jobs that failed for good again, or forgets them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettleDeadJobs {
    /// What is done.
    pub action: DeadJobAction,
    /// Of which kind they are.
    #[schemars(length(min = 1, max = JOB_TEXT_MAX))]
    pub kind: String,
    /// Which one of that kind; all of them, a thousand at a time, without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = JOB_TEXT_MAX))]
    pub id: Option<String>,
}

impl Request for SettleDeadJobs {
    fn validate(&self) -> Result<(), Invalid> {
        check("kind", &self.kind)?;
        self.id.as_ref().map_or(Ok(()), |id| check("id", id))
    }
}

/// How many jobs it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadJobsSettled {
    /// Their number.
    pub jobs: u32,
}

fn check(field: &'static str, text: &str) -> Result<(), Invalid> {
    if (1..=JOB_TEXT_MAX).contains(&text.len()) {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        format!("expected 1 to {JOB_TEXT_MAX} bytes"),
    ))
}
