//! Into the database, in batches.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use storage::{AuditEntry, AuditStore, StoreError};
use tokio::time::sleep;

use super::{counts::Counts, queue::Queue};
use crate::log_throttle::LogThrottle;

/// Entries that are written at once.
const BATCH: usize = 1_000;

/// The pause before another attempt.
const RETRY: Duration = Duration::from_millis(500);

/// Writes entries; tries again for as long as that fails.
pub async fn insert(store: &AuditStore, entries: &[AuditEntry], counts: &Counts) {
    static FAILED: LogThrottle = LogThrottle::new();
    if entries.is_empty() {
        return;
    }
    loop {
        let began = Instant::now();
        match store.insert(entries).await {
            Ok(new) => {
                counts.store(new, entries.len() as u64 - new, began.elapsed());
                return;
            }
            Err(error @ StoreError::Invalid { .. }) => {
                tracing::error!(%error, "entries of the audit log aren't ones");
                counts.drop_entries(entries.len() as u64);
                return;
            }
            Err(error) => {
                if let Some(suppressed) = FAILED.record() {
                    tracing::warn!(%error, suppressed, "the audit log can't be written; trying again");
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Writes what is recorded, on a server that is alone.
pub struct Writer {
    queue: Arc<Queue>,
    store: AuditStore,
    counts: Arc<Counts>,
}

impl Writer {
    /// From a queue to a store.
    pub fn new(queue: Arc<Queue>, store: AuditStore, counts: Arc<Counts>) -> Self {
        Self {
            queue,
            store,
            counts,
        }
    }

    /// Writes what comes.
    pub async fn run(&self) {
        // Those that a run before this had taken when it failed.
        self.counts.drop_entries(self.queue.abandon() as u64);
        loop {
            // First what was there before this began.
            self.write().await;
            self.queue.pushed().await;
        }
    }

    /// Writes what waits; tries again until the store takes it.
    pub async fn write(&self) {
        let entries = self.queue.take();
        for batch in entries.chunks(BATCH) {
            insert(&self.store, batch, &self.counts).await;
        }
        self.queue.written();
    }

    /// Whether everything that was recorded is written.
    pub fn is_done(&self) -> bool {
        self.queue.is_done()
    }
}
