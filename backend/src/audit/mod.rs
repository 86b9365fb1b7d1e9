//! The audit log: who did what to what, from where, with what outcome.
//!
//! What must stay true: recording never waits and never fails whoever acts; what is lost is counted; nothing that proves who
//! somebody is, and nothing that people wrote, is recorded.

pub mod actions;
pub mod counts;
pub mod entry;
mod queue;
pub mod record;
mod refusals;

use std::{sync::Arc, time::Instant};

use self::{
    counts::Counts, entry::AuditOutcome, queue::Queue, record::Record, refusals::RefusalCounts,
};
use crate::logging::LogThrottle;

/// The audit log of one instance.
pub struct Audit {
    /// What entries say of where they were recorded.
    instance: String,
    on: bool,
    queue: Arc<Queue>,
    refusals: RefusalCounts,
    counts: Arc<Counts>,
}

impl Audit {
    /// One that keeps nothing.
    pub fn off() -> Self {
        Self {
            instance: String::new(),
            on: false,
            queue: Arc::default(),
            refusals: RefusalCounts::new(Instant::now()),
            counts: Arc::default(),
        }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Records an action. Never waits: when too much waits to be written already, the entry is dropped and counted.
    pub fn record(&self, record: Record) {
        static FULL: LogThrottle = LogThrottle::new();
        if !self.on {
            return;
        }
        if record.outcome == AuditOutcome::Refused && self.is_too_often(&record) {
            self.counts.suppress();
            return;
        }
        if self.queue.push(record.into_entry(&self.instance)) {
            self.counts.record();
            return;
        }
        self.counts.drop_entries(1);
        if let Some(suppressed) = FULL.record() {
            tracing::error!(
                suppressed,
                "the audit log's queue is full; entries are lost"
            );
        }
    }

    fn is_too_often(&self, record: &Record) -> bool {
        let user = record.actor_id.as_ref().map(ToString::to_string);
        let actor = user.or_else(|| record.address.map(|address| address.to_string()));
        let actor = actor.unwrap_or_default();
        !self.refusals.admit(record.action, actor, Instant::now())
    }
}
