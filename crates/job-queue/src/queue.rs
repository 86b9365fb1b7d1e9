//! Where jobs are put.

use std::{sync::Arc, time::Duration};

use storage::{JobStore, Sql, StoreError};
use tokio::sync::Notify;

use crate::{Job, job::encode};

/// Where jobs are put. Cloning shares it.
///
/// A job that was enqueued is durable, and is run at least once, whatever is away meanwhile.
#[derive(Clone)]
pub struct JobQueue {
    store: JobStore,
    added: Arc<Notify>,
}

impl JobQueue {
    /// The queue in these tables.
    pub fn new(sql: Sql) -> Self {
        Self {
            store: JobStore::new(sql),
            added: Arc::default(),
        }
    }

    /// Enqueues a job. Where it follows from a change of tables, it belongs into the transaction of that change:
    /// [`outbox::statement`](crate::outbox::statement).
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<(), StoreError> {
        self.enqueue_after(Duration::ZERO, job).await
    }

    /// Enqueues a job that isn't run before `delay` has passed.
    pub async fn enqueue_after<J: Job>(&self, delay: Duration, job: &J) -> Result<(), StoreError> {
        self.store.insert(vec![encode(job, delay)?]).await?;
        self.wake();
        Ok(())
    }

    /// Enqueues several jobs, or none.
    pub async fn enqueue_all<J: Job>(&self, jobs: &[J]) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let jobs = jobs.iter().map(|job| encode(job, Duration::ZERO));
        self.store.insert(jobs.collect::<Result<_, _>>()?).await?;
        self.wake();
        Ok(())
    }

    /// Says that jobs were added by other statements, which are found in a second otherwise.
    pub fn wake(&self) {
        self.added.notify_one();
    }

    /// What waits, and what failed for good.
    pub fn store(&self) -> &JobStore {
        &self.store
    }

    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }
}
