//! Jobs: what the server does later, outside of what anybody waits for. A kind of job is handled by a function of its domain;
//! [`runner`] says which.
//!
//! A server that is alone runs them itself, and so do the instances of a fleet without a broker. With one they publish them, and
//! workers ([`crate::worker`]) run them.

mod daily;
mod retention;
pub mod runner;
pub mod waiting;

use std::sync::{Arc, OnceLock};

use job_queue::{Handlers, JobQueue, KindCounts, RabbitMq, RabbitMqConfig};
use storage::{OpenError, Sql};

use self::waiting::Waiting;

/// The jobs of one process.
pub struct Jobs {
    queue: JobQueue,
    broker: Option<Arc<RabbitMq>>,
    waiting: Waiting,
    handlers: OnceLock<Arc<Handlers>>,
}

impl Jobs {
    /// Jobs in these tables, and behind a broker if there is one.
    ///
    /// # Errors
    /// If the broker's address or its authorities can't be read.
    pub fn new(sql: Sql, broker: Option<&RabbitMqConfig>) -> Result<Self, OpenError> {
        let queue = JobQueue::new(sql);
        let broker = broker.map(|config| RabbitMq::new(config.clone(), queue.clone()));
        let wrong = |error| OpenError::Address(format!("RABBITMQ_URL: {error}"));
        Ok(Self {
            broker: broker.transpose().map_err(wrong)?.map(Arc::new),
            waiting: Waiting::new(queue.store().clone()),
            queue,
            handlers: OnceLock::new(),
        })
    }

    /// Where jobs are put.
    pub fn queue(&self) -> &JobQueue {
        &self.queue
    }

    /// The broker, if there is one.
    pub fn broker(&self) -> Option<&Arc<RabbitMq>> {
        self.broker.as_ref()
    }

    /// What is waiting, as it was a moment ago.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// What was counted here, by kind.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &KindCounts)> {
        let handlers = self.handlers.get().into_iter();
        handlers.flat_map(|handlers| handlers.counts())
    }
}
