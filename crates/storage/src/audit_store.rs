//! The audit log: who did what to what, from where, and with what outcome. In one of two back ends, SQLite in the embedded
//! default and PostgreSQL in a fleet; the contract of each method is documented here and holds for both.

/// The columns of both back ends' tables, in the order of an entry's fields.
macro_rules! columns {
    () => {
        "id, at, action, outcome, actor_id, actor_kind, session_id, address, target_kind, target_id, details, \
         request_id, instance"
    };
}

mod entry;
mod filter;
mod postgres;
mod sqlite;

use std::path::PathBuf;

use protocol::Timestamp;

pub use entry::{AuditEntry, DETAILS_MAX};
pub use filter::{AuditCursor, AuditFilter};

use crate::{OpenError, Postgres, StoreError};
use postgres::PostgresAudit;
use sqlite::SqliteAudit;

/// Entries that one statement writes.
pub const AUDIT_BATCH: usize = 5_000;

/// How far [`AuditStore::page`] counts and reads.
pub const AUDIT_COUNT_MAX: u64 = 10_000;

/// The audit log, durable. Cloning shares it.
#[derive(Clone)]
pub struct AuditStore(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(SqliteAudit),
    Postgres(PostgresAudit),
}

/// Calls the back end's method of the same name.
macro_rules! on_backend {
    ($store:ident, $method:ident($($argument:expr),*)) => {
        match &$store.0 {
            Backend::Sqlite(store) => store.$method($($argument),*).await,
            Backend::Postgres(store) => store.$method($($argument),*).await,
        }
    };
}

impl AuditStore {
    /// Opens the embedded log, which has a file of its own in `audit/` of the data directory: what is written here doesn't
    /// wait behind messages, nor they behind it. It is locked against other processes until [`AuditStore::close`].
    pub async fn open(data_directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let store = SqliteAudit::open(data_directory.into().join("audit")).await?;
        Ok(Self(Backend::Sqlite(store)))
    }

    /// The log of a fleet.
    pub fn postgres(postgres: Postgres) -> Self {
        Self(Backend::Postgres(PostgresAudit::new(postgres)))
    }

    /// Adds entries and returns how many are new: an entry is there exactly once, however often and by however many it is
    /// given; one whose id is there stays as it was. They are written in batches of [`AUDIT_BATCH`], each as a whole, so
    /// after an error some may be there, and all of them can be given again. `Invalid`, and nothing was written, if one of
    /// them breaks a bound, which [`AuditEntry::check`] tells beforehand.
    pub async fn insert(&self, entries: &[AuditEntry]) -> Result<u64, StoreError> {
        for entry in entries {
            entry.check()?;
        }
        let mut new = 0;
        for batch in entries.chunks(AUDIT_BATCH) {
            new += on_backend!(self, insert(batch))?;
        }
        Ok(new)
    }

    /// The entries of a numbered page, the first of which is 1, newest first, and how many there are in all. No more than
    /// [`AUDIT_COUNT_MAX`] are counted, and pages behind that are empty: the total is exact below it, and at it means that
    /// many or more. Who wants all takes [`AuditStore::export`]. In a fleet an entry may be some seconds late here.
    pub async fn page(
        &self,
        filter: &AuditFilter,
        page: u32,
        limit: u32,
    ) -> Result<(Vec<AuditEntry>, u64), StoreError> {
        let skipped = u64::from(page.saturating_sub(1)) * u64::from(limit);
        let limit = u64::from(limit).min(AUDIT_COUNT_MAX.saturating_sub(skipped));
        on_backend!(self, page(filter, skipped.min(AUDIT_COUNT_MAX), limit))
    }

    /// The next entries in the order of their times, the oldest first, behind a cursor ([`AuditEntry::cursor`] of the last
    /// one); fewer than `limit` at the end. An entry that is written with a time before the cursor's isn't among them.
    pub async fn export(
        &self,
        filter: &AuditFilter,
        after: Option<&AuditCursor>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        on_backend!(self, export(filter, after, limit))
    }

    /// Removes entries from before a time, the oldest first, at most so many, and returns how many.
    pub async fn delete_before(&self, before: Timestamp, at_most: u32) -> Result<u64, StoreError> {
        on_backend!(self, delete_before(before, at_most))
    }

    /// Fails unless entries can be written.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_backend!(self, ping())
    }

    /// Finishes what was accepted and refuses what comes after. The connections of [`Postgres`] stay, which others use.
    pub async fn close(&self) {
        if let Backend::Sqlite(store) = &self.0 {
            store.close().await;
        }
    }
}
