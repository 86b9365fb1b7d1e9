//! Jobs as messages.

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use protocol::Timestamp;
use storage::ClaimedJob;

/// Since when the job is wanted, in milliseconds since 1970.
const ENQUEUED_AT: &str = "x-enqueued-at";
/// Runs that failed before.
const FAILED_RUNS: &str = "x-failed-runs";
/// Why a dead letter failed.
const ERROR: &str = "x-error";
/// Of the broker: deliveries of this message before this one, to processes that died.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// A job on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) payload: String,
    pub(super) enqueued_at: Timestamp,
    /// Runs that failed before this message was published.
    pub(super) failed_runs: u32,
    /// Deliveries of this message before, each of which was a run that didn't end.
    pub(super) broken_runs: u32,
    /// Of a dead letter that a process gave up.
    pub(super) error: Option<String>,
}

impl Message {
    pub(super) fn of_outbox(job: ClaimedJob) -> Self {
        Self {
            kind: job.kind,
            id: job.id,
            payload: job.payload,
            enqueued_at: job.enqueued_at,
            failed_runs: job.attempts,
            broken_runs: 0,
            error: None,
        }
    }

    /// `None` if this program didn't publish it.
    pub(super) fn of_delivery(delivery: &Delivery) -> Option<Self> {
        let properties = &delivery.properties;
        let headers = properties.headers().as_ref()?.inner();
        let number = |name: &str| match headers.get(name) {
            Some(AMQPValue::LongLongInt(number)) => Some(*number),
            Some(AMQPValue::LongInt(number)) => Some(i64::from(*number)),
            Some(AMQPValue::LongUInt(number)) => Some(i64::from(*number)),
            Some(AMQPValue::ShortInt(number)) => Some(i64::from(*number)),
            Some(AMQPValue::ShortShortInt(number)) => Some(i64::from(*number)),
            _ => None,
        };
        let count =
            |name: &str| number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Some(Self {
            kind: properties.kind().as_ref()?.as_str().to_owned(),
            id: properties.message_id().as_ref()?.as_str().to_owned(),
            payload: String::from_utf8(delivery.data.clone()).ok()?,
            enqueued_at: Timestamp::from_unix_ms(number(ENQUEUED_AT)?),
            failed_runs: count(FAILED_RUNS)?,
            broken_runs: count(DELIVERY_COUNT).unwrap_or(0),
            error: match headers.get(ERROR) {
                Some(AMQPValue::LongString(text)) => Some(text.to_string()),
                _ => None,
            },
        })
    }

    /// The run that this delivery is for.
    pub(super) fn attempt(&self) -> u32 {
        self.failed_runs
            .saturating_add(self.broken_runs)
            .saturating_add(1)
    }

    pub(super) fn properties(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        let number = AMQPValue::LongLongInt;
        headers.insert(ENQUEUED_AT.into(), number(self.enqueued_at.unix_ms()));
        headers.insert(FAILED_RUNS.into(), number(self.failed_runs.into()));
        if let Some(error) = &self.error {
            headers.insert(ERROR.into(), AMQPValue::LongString(error.as_str().into()));
        }
        BasicProperties::default()
            // On the disk.
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_type(ShortString::from(self.kind.as_str()))
            .with_message_id(ShortString::from(self.id.as_str()))
            .with_headers(headers)
    }
}
