//! The audit log in PostgreSQL.

use protocol::{AuditActorKind, AuditOutcome, SessionId, Timestamp, UserId};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::entry::Numbered;
use super::filter::Condition;
use super::{AUDIT_COUNT_MAX, AuditCursor, AuditEntry, AuditFilter};
use crate::postgres::{Freshness, Id, Moment};
use crate::{Postgres, StoreError};

/// One statement for any number of rows, so it is prepared once. Of the same row twice the first one stays.
const INSERT: &str = concat!(
    "INSERT INTO audit_entries (",
    columns!(),
    ") SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::smallint[], $5::text[], $6::smallint[], \
     $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
     ON CONFLICT (id) DO NOTHING"
);

/// By the index of times; what another removes meanwhile isn't waited for.
const DELETE: &str = "
    DELETE FROM audit_entries WHERE id = ANY(ARRAY(
        SELECT id FROM audit_entries WHERE at < $1 ORDER BY at, id LIMIT $2 FOR UPDATE SKIP LOCKED))";

type Query = QueryBuilder<sqlx::Postgres>;
type Statement = sqlx::query::Query<'static, sqlx::Postgres, PgArguments>;

#[derive(Clone)]
pub(super) struct PostgresAudit {
    postgres: Postgres,
}

impl PostgresAudit {
    pub(super) fn new(postgres: Postgres) -> Self {
        Self { postgres }
    }

    pub(super) async fn insert(&self, entries: &[AuditEntry]) -> Result<u64, StoreError> {
        let mut rows = entries
            .iter()
            .map(|entry| Ok((Id(entry.uuid()?), entry)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        // Two who write the same entries at once take them in the same order, and don't wait for each other in a circle.
        rows.sort_by_key(|(id, _)| *id);
        let ids: Vec<_> = rows.iter().map(|(id, _)| *id).collect();
        let at: Vec<_> = rows.iter().map(|(_, entry)| Moment(entry.at)).collect();
        let outcomes: Vec<_> = rows
            .iter()
            .map(|(_, entry)| entry.outcome.number())
            .collect();
        let kinds: Vec<_> = rows
            .iter()
            .map(|(_, entry)| entry.actor_kind.number())
            .collect();
        let texts = |of: fn(&AuditEntry) -> Option<&str>| -> Vec<_> {
            rows.iter().map(|(_, entry)| of(entry)).collect()
        };
        let query = sqlx::query(INSERT)
            .bind(&ids)
            .bind(&at)
            .bind(texts(|entry| Some(&entry.action)))
            .bind(&outcomes)
            .bind(texts(|entry| entry.actor_id.as_ref().map(UserId::as_str)))
            .bind(&kinds)
            .bind(texts(|entry| {
                entry.session_id.as_ref().map(SessionId::as_str)
            }))
            .bind(texts(|entry| entry.address.as_deref()))
            .bind(texts(|entry| entry.target_kind.as_deref()))
            .bind(texts(|entry| entry.target_id.as_deref()))
            .bind(texts(|entry| entry.details.as_deref()))
            .bind(texts(|entry| entry.request_id.as_deref()))
            .bind(texts(|entry| Some(&entry.instance)));
        self.write(query).await
    }

    pub(super) async fn page(
        &self,
        filter: &AuditFilter,
        skipped: u64,
        limit: u64,
    ) -> Result<(Vec<AuditEntry>, u64), StoreError> {
        let Some(conditions) = filter.conditions() else {
            return Ok((Vec::new(), 0));
        };
        let reading = self.postgres.read(Freshness::Recent, |connection| {
            let mut count = Query::new("SELECT count(*) FROM (SELECT 1 FROM audit_entries");
            restrict(&mut count, &conditions, None);
            count.push(" LIMIT ").push_bind(AUDIT_COUNT_MAX as i64);
            count.push(") AS counted");
            let mut select = Query::new(concat!("SELECT ", columns!(), " FROM audit_entries"));
            restrict(&mut select, &conditions, None);
            select.push(" ORDER BY at DESC, id DESC LIMIT ");
            select.push_bind(limit as i64).push(" OFFSET ");
            select.push_bind(skipped as i64);
            Box::pin(async move {
                // Counted afterwards: what is added meanwhile makes the list longer than its page says, never shorter.
                let rows = select.build().fetch_all(&mut *connection).await?;
                let total: i64 = count.build_query_scalar().fetch_one(connection).await?;
                let entries = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                Ok((entries, total.unsigned_abs()))
            })
        });
        reading.await
    }

    pub(super) async fn export(
        &self,
        filter: &AuditFilter,
        after: Option<&AuditCursor>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let Some(conditions) = filter.conditions() else {
            return Ok(Vec::new());
        };
        let after = after
            .map(|cursor| Ok::<_, StoreError>((cursor.at, cursor.uuid()?)))
            .transpose()?;
        // Each part of an export may come from another server, and one that lags would end it too early.
        let reading = self.postgres.read(Freshness::Latest, |connection| {
            let mut select = Query::new(concat!("SELECT ", columns!(), " FROM audit_entries"));
            restrict(&mut select, &conditions, after);
            select.push(" ORDER BY at, id LIMIT ");
            select.push_bind(i64::from(limit));
            Box::pin(async move {
                let rows = select.build().fetch_all(connection).await?;
                rows.iter().map(read).collect()
            })
        });
        reading.await
    }

    pub(super) async fn delete_before(
        &self,
        before: Timestamp,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query(DELETE)
            .bind(Moment(before))
            .bind(i64::from(at_most));
        self.write(query).await
    }

    /// Runs one statement, and returns how many rows it wrote or removed.
    async fn write(&self, query: Statement) -> Result<u64, StoreError> {
        let written = self.postgres.write(None, |connection| {
            Box::pin(async move { Ok(query.execute(connection).await?.rows_affected()) })
        });
        written.await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}

/// Adds the conditions of a filter and of a cursor.
fn restrict(query: &mut Query, conditions: &[Condition<'_>], after: Option<(Timestamp, Uuid)>) {
    let mut word = " WHERE ";
    for condition in conditions {
        query.push(word);
        word = " AND ";
        match condition {
            Condition::Time(column, at) => query.push(column).push(" ").push_bind(Moment(*at)),
            Condition::Text(column, text) => {
                query.push(column).push(" ").push_bind((*text).to_owned())
            }
            Condition::TextEnd(column, text) => {
                query.push(column).push(" ").push_bind(text.clone())
            }
            Condition::Number(column, number) => query.push(format_args!("{column} {number}")),
        };
    }
    if let Some((at, id)) = after {
        query.push(word).push("(at, id) > (").push_bind(Moment(at));
        query.push(", ").push_bind(Id(id)).push(")");
    }
}

fn read(row: &PgRow) -> Result<AuditEntry, sqlx::Error> {
    let unknown = |what: &'static str| sqlx::Error::Decode(what.into());
    let Id(id) = row.try_get(0)?;
    let Moment(at) = row.try_get(1)?;
    Ok(AuditEntry {
        id: id.hyphenated().to_string(),
        at,
        action: row.try_get(2)?,
        outcome: AuditOutcome::numbered(row.try_get(3)?).ok_or_else(|| unknown("an outcome"))?,
        actor_id: row.try_get::<Option<String>, _>(4)?.map(UserId::trusted),
        actor_kind: AuditActorKind::numbered(row.try_get(5)?)
            .ok_or_else(|| unknown("a kind of actors"))?,
        session_id: row.try_get::<Option<String>, _>(6)?.map(SessionId::trusted),
        address: row.try_get(7)?,
        target_kind: row.try_get(8)?,
        target_id: row.try_get(9)?,
        details: row.try_get(10)?,
        request_id: row.try_get(11)?,
        instance: row.try_get(12)?,
    })
}
