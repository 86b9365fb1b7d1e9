//! Exchanges and queues. All queues are quorum queues, and what leaves one for another is there before it is gone here.
//!
//! - `PREFIX.jobs`, direct: a job by its kind into `PREFIX.jobs.KIND`.
//! - `PREFIX.retries.SECONDS`, fan-out: a job that is put off into the queue of the same name, which lets it go after its time, at
//!   the latest after that of the queue, and back to `PREFIX.jobs` under its kind.
//! - `PREFIX.dead`, direct: a job that failed for good into `PREFIX.dead.KIND`, from where it's taken into the tables. The broker does
//!   so itself with one that was delivered too often, since its processes died.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

/// How long queues for retries keep a job, in seconds. One that is put off is in the first that keeps it for long enough, with a
/// time of its own. Only the first in a queue can leave it, so one may wait for longer than it should, up to the time of its queue.
pub(super) const STEPS: [u64; 7] = [1, 5, 30, 180, 1_200, 7_200, 86_400];

/// Deliveries after which the broker gives a job up by itself. A kind's own bound is reached sooner, unless no process survives
/// reading it.
const DELIVERIES: i64 = 40;

/// The names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn jobs(&self) -> ShortString {
        format!("{}.jobs", self.prefix).into()
    }

    pub(super) fn queue(&self, kind: &str) -> ShortString {
        format!("{}.jobs.{kind}", self.prefix).into()
    }

    /// The exchange and the queue of a step.
    pub(super) fn retries(&self, step: u64) -> ShortString {
        format!("{}.retries.{step}", self.prefix).into()
    }

    pub(super) fn dead(&self) -> ShortString {
        format!("{}.dead", self.prefix).into()
    }

    pub(super) fn dead_queue(&self, kind: &str) -> ShortString {
        format!("{}.dead.{kind}", self.prefix).into()
    }

    /// The step for a delay.
    pub(super) fn step(delay: Duration) -> u64 {
        let keeps = |step: &&u64| Duration::from_secs(**step) >= delay;
        let last = STEPS[STEPS.len() - 1];
        STEPS.iter().find(keeps).copied().unwrap_or(last)
    }

    /// What all kinds share.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        exchange(channel, self.jobs(), ExchangeKind::Direct).await?;
        exchange(channel, self.dead(), ExchangeKind::Direct).await?;
        for step in STEPS {
            let name = self.retries(step);
            exchange(channel, name.clone(), ExchangeKind::Fanout).await?;
            let mut arguments = handing_on(self.jobs());
            let ttl = i64::try_from(step * 1_000).unwrap_or(i64::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(ttl));
            queue(channel, name.clone(), arguments).await?;
            bind(channel, name.clone(), name, "".into()).await?;
        }
        Ok(())
    }

    /// Fails unless the broker answers.
    pub(super) async fn check(&self, channel: &Channel) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions {
            passive: true,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let kind = ExchangeKind::Direct;
        let arguments = FieldTable::default();
        channel
            .exchange_declare(self.jobs(), kind, options, arguments)
            .await
    }

    /// What one kind has.
    pub(super) async fn declare_kind(&self, channel: &Channel, kind: &str) -> lapin::Result<()> {
        let mut arguments = handing_on(self.dead());
        let limit = AMQPValue::LongLongInt(DELIVERIES);
        arguments.insert("x-delivery-limit".into(), limit);
        queue(channel, self.queue(kind), arguments).await?;
        bind(channel, self.queue(kind), self.jobs(), kind.into()).await?;
        queue(channel, self.dead_queue(kind), quorum()).await?;
        bind(channel, self.dead_queue(kind), self.dead(), kind.into()).await
    }

    /// Jobs that wait in a queue for somebody who takes them.
    pub(super) async fn depth(channel: &Channel, queue: ShortString) -> lapin::Result<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue, options, FieldTable::default());
        Ok(declared.await?.message_count())
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// A queue that hands on to an exchange what it lets go of, and keeps it until the next queue has it.
fn handing_on(exchange: ShortString) -> FieldTable {
    let mut arguments = quorum();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-dead-letter-exchange".into(), text(exchange.as_str()));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    // Which that strategy asks for. There is no bound of length.
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

async fn exchange(channel: &Channel, name: ShortString, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name, kind, options, FieldTable::default())
        .await
}

async fn queue(channel: &Channel, name: ShortString, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name, options, arguments)
        .await
        .map(drop)
}

async fn bind(
    channel: &Channel,
    queue: ShortString,
    exchange: ShortString,
    key: ShortString,
) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue, exchange, key, options, FieldTable::default())
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_kept_by_the_first_step_that_is_long_enough() {
        for (millis, step) in [
            (0, 1),
            (1_000, 1),
            (1_001, 5),
            (6_000, 30),
            (7_200_000, 7_200),
        ] {
            assert_eq!(Names::step(Duration::from_millis(millis)), step, "{millis}");
        }
        assert_eq!(Names::step(Duration::MAX), 86_400);
    }
}
