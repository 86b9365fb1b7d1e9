//! The audit log in a SQLite file.

use std::path::PathBuf;
use std::sync::Arc;

use protocol::{AuditActorKind, AuditOutcome, SessionId, Timestamp, UserId};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use uuid::Uuid;

use super::entry::Numbered;
use super::filter::Condition;
use super::{AUDIT_COUNT_MAX, AuditCursor, AuditEntry, AuditFilter};
use crate::sqlite::{Database, Migrations, Step, Transaction};
use crate::{OpenError, StoreError};

const MIGRATIONS: Migrations = Migrations(&[Step::Sql(include_str!("schema.sql"))]);

const INSERT: &str = concat!(
    "INSERT INTO audit_entries (",
    columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (id) DO NOTHING"
);

const DELETE: &str = "
    DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE at < ?1 ORDER BY at, id LIMIT ?2)";

/// What an entry holds of the queue's memory beside its texts.
const ENTRY_BYTES: usize = size_of::<AuditEntry>();

#[derive(Clone)]
pub(super) struct SqliteAudit {
    database: Arc<Database>,
}

impl SqliteAudit {
    pub(super) async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        let database = Database::start(directory, "audit", MIGRATIONS, |_| Ok(false)).await?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.database.check()?;
        self.database.write(|_| Ok(())).await
    }

    pub(super) async fn insert(&self, entries: &[AuditEntry]) -> Result<u64, StoreError> {
        let bytes = entries
            .iter()
            .map(|entry| ENTRY_BYTES + entry.details.as_ref().map_or(0, String::len))
            .sum();
        let entries = entries.to_vec();
        let write = move |transaction: &Transaction<'_>| {
            let mut insert = transaction.prepare_cached(INSERT)?;
            let mut new = 0;
            for entry in &entries {
                new += insert.execute(params![
                    entry.uuid()?.as_bytes(),
                    entry.at.unix_ms(),
                    entry.action,
                    entry.outcome.number(),
                    entry.actor_id.as_ref().map(UserId::as_str),
                    entry.actor_kind.number(),
                    entry.session_id.as_ref().map(SessionId::as_str),
                    entry.address,
                    entry.target_kind,
                    entry.target_id,
                    entry.details,
                    entry.request_id,
                    entry.instance,
                ])?;
            }
            Ok(new as u64)
        };
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.database.submit(bytes, write, move |result| {
            // Nobody waits for it any more: the write itself stands.
            drop(answer.send(result));
        });
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the writer has stopped")))
    }

    pub(super) async fn page(
        &self,
        filter: &AuditFilter,
        skipped: u64,
        limit: u64,
    ) -> Result<(Vec<AuditEntry>, u64), StoreError> {
        let Some(Restriction { sql, values }) = Restriction::new(filter, None) else {
            return Ok((Vec::new(), 0));
        };
        let read = move |connection: &Connection| {
            let count = format!(
                "SELECT count(*) FROM (SELECT 1 FROM audit_entries{sql} LIMIT {AUDIT_COUNT_MAX})"
            );
            let total: u64 = connection
                .prepare_cached(&count)?
                .query_row(params_from_iter(&values), |row| row.get(0))?;
            let select = format!(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM audit_entries{} ORDER BY at DESC, id DESC LIMIT {} OFFSET {}"
                ),
                sql, limit, skipped
            );
            let mut statement = connection.prepare(&select)?;
            let entries = statement.query_map(params_from_iter(&values), entry)?;
            Ok((entries.collect::<Result<_, _>>()?, total))
        };
        self.database.search(read).await
    }

    pub(super) async fn export(
        &self,
        filter: &AuditFilter,
        after: Option<&AuditCursor>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let after = after
            .map(|cursor| Ok::<_, StoreError>((cursor.at, cursor.uuid()?)))
            .transpose()?;
        let Some(Restriction { sql, values }) = Restriction::new(filter, after) else {
            return Ok(Vec::new());
        };
        let read = move |connection: &Connection| {
            let select = format!(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM audit_entries{} ORDER BY at, id LIMIT {}"
                ),
                sql, limit
            );
            let mut statement = connection.prepare_cached(&select)?;
            let entries = statement.query_map(params_from_iter(&values), entry)?;
            Ok(entries.collect::<Result<_, _>>()?)
        };
        self.database.search(read).await
    }

    pub(super) async fn delete_before(
        &self,
        before: Timestamp,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let write = move |transaction: &Transaction<'_>| {
            let deleted = transaction
                .prepare_cached(DELETE)?
                .execute((before.unix_ms(), at_most))?;
            Ok(deleted as u64)
        };
        self.database.write(write).await
    }
}

/// The WHERE of a statement, and its values.
struct Restriction {
    sql: String,
    values: Vec<Value>,
}

impl Restriction {
    /// `None` if nothing can match.
    fn new(filter: &AuditFilter, after: Option<(Timestamp, Uuid)>) -> Option<Self> {
        let mut restriction = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        for condition in filter.conditions()? {
            match condition {
                Condition::Time(column, at) => restriction.add(column, at.unix_ms()),
                Condition::Text(column, text) => restriction.add(column, text.to_owned()),
                Condition::TextEnd(column, text) => restriction.add(column, text),
                Condition::Number(column, number) => {
                    restriction.push(&format!("{column} {number}"))
                }
            }
        }
        if let Some((at, id)) = after {
            restriction.add("(at, id) > (?,", at.unix_ms());
            restriction.sql.push(')');
            restriction.values.push(id.as_bytes().to_vec().into());
        }
        Some(restriction)
    }

    fn add(&mut self, column: &str, value: impl Into<Value>) {
        self.push(column);
        self.sql.push_str(" ?");
        self.values.push(value.into());
    }

    fn push(&mut self, condition: &str) {
        let word = if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        };
        self.sql.push_str(word);
        self.sql.push_str(condition);
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let unknown =
        |column, number: i16| rusqlite::Error::IntegralValueOutOfRange(column, number.into());
    let id: [u8; 16] = row.get(0)?;
    let (outcome, actor_kind) = (row.get(3)?, row.get(5)?);
    Ok(AuditEntry {
        id: Uuid::from_bytes(id).hyphenated().to_string(),
        at: Timestamp::from_unix_ms(row.get(1)?),
        action: row.get(2)?,
        outcome: AuditOutcome::numbered(outcome).ok_or_else(|| unknown(3, outcome))?,
        actor_id: row.get::<_, Option<String>>(4)?.map(UserId::trusted),
        actor_kind: AuditActorKind::numbered(actor_kind).ok_or_else(|| unknown(5, actor_kind))?,
        session_id: row.get::<_, Option<String>>(6)?.map(SessionId::trusted),
        address: row.get(7)?,
        target_kind: row.get(8)?,
        target_id: row.get(9)?,
        details: row.get(10)?,
        request_id: row.get(11)?,
        instance: row.get(12)?,
    })
}
