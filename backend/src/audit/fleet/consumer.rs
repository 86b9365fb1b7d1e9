//! From the streams to the database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use storage::{AuditEntry, AuditStore};
use tokio::{sync::Notify, time::timeout};

use super::streams::{Delivered, Streams};
use crate::audit::{codec, counts::Counts, writer};

/// The time between two looks at streams in which nothing was found: what other instances add is found by looking.
const IDLE: Duration = Duration::from_millis(250);

/// The time between two looks for what other consumers were given and didn't store.
const CLAIM: Duration = Duration::from_secs(5);

/// How often the streams' lengths are asked for.
const LENGTHS: Duration = Duration::from_secs(5);

/// Stores what is in the streams.
pub struct Consumer {
    streams: Arc<Streams>,
    store: AuditStore,
    counts: Arc<Counts>,
    /// Something was added to a stream here.
    added: Arc<Notify>,
}

impl Consumer {
    /// From streams to a store.
    pub fn new(
        streams: Arc<Streams>,
        store: AuditStore,
        counts: Arc<Counts>,
        added: Arc<Notify>,
    ) -> Self {
        Self {
            streams,
            store,
            counts,
            added,
        }
    }

    /// Stores what comes.
    pub async fn run(&self) {
        let mut claimed: Option<Instant> = None;
        let mut measured: Option<Instant> = None;
        loop {
            let mut delivered = self.streams.read().await;
            if claimed.is_none_or(|at| at.elapsed() >= CLAIM) {
                delivered.extend(self.streams.claim().await);
                claimed = Some(Instant::now());
            }
            if measured.is_none_or(|at| at.elapsed() >= LENGTHS) {
                if let Ok((length, pending)) = self.streams.lengths().await {
                    self.counts.set_lengths(length, pending);
                }
                measured = Some(Instant::now());
            }
            if delivered.is_empty() {
                drop(timeout(IDLE, self.added.notified()).await);
            } else {
                self.store(delivered).await;
            }
        }
    }

    async fn store(&self, delivered: Vec<Delivered>) {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for batch in &delivered {
            let malformed = codec::read(&batch.lines, &mut entries);
            if malformed > 0 {
                tracing::error!(malformed, "entries of the audit log can't be read");
                self.counts.drop_entries(malformed);
            }
        }
        writer::insert(&self.store, &entries, &self.counts).await;
        let stored: Vec<_> = delivered.iter().map(|batch| &batch.entry).collect();
        self.streams.stored(&stored).await;
    }

    /// The streams.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }
}
