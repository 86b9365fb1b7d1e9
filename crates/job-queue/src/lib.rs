//! Jobs: work that is done later, outside of what somebody waits for.
//!
//! A [`Job`] is put into a [`JobQueue`], or by a statement of [`outbox`] into the transaction of the change that it follows from. It
//! is run by the [`Handler`] of its kind, at least once. One that fails is tried again, later each time; one that fails for good
//! is a dead letter, which an administrator replays or drops.
//!
//! [`InProcess`] runs jobs from the table that they were put into. With [`RabbitMq`] that table is the outbox of a broker, from which other
//! processes take them.

mod counts;
mod error;
mod handlers;
mod in_process;
mod job;
pub mod outbox;
mod queue;
mod rabbitmq;
mod retries;

pub use counts::KindCounts;
pub use error::JobError;
pub use handlers::{Attempt, Handler, Handlers, KindSettings};
pub use in_process::InProcess;
pub use job::{Job, JobId};
pub use queue::JobQueue;
pub use rabbitmq::{BrokerCounts, QueueDepth, RabbitMq, RabbitMqConfig};
pub use retries::Retries;
