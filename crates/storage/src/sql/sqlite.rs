//! The tables in a SQLite file.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, ToSql, types::ToSqlOutput};

use super::dialect::sqlite_statement;
use super::{Effect, Row, Statement, Value, Written, migrations};
use crate::error::cause;
use crate::sqlite::{Database, Outcome, Transaction};
use crate::{OpenError, StoreError};

#[derive(Clone)]
pub(super) struct SqliteTables {
    database: Arc<Database>,
}

/// Why a transaction was taken back: the statement at this place was required.
#[derive(Debug, thiserror::Error)]
#[error("a statement that was required affected no row")]
struct Unmet(usize);

impl SqliteTables {
    pub(super) async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        let database =
            Database::start(directory, "tables", migrations::SQLITE, |_| Ok(false)).await?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    pub(super) async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let read = move |connection: &rusqlite::Connection| {
            rows(
                &mut connection.prepare_cached(&sqlite_statement(&statement.sql))?,
                &statement.values,
            )
        };
        self.database.read(read).await
    }

    pub(super) async fn write(&self, statements: Vec<Statement>) -> Result<Written, StoreError> {
        let bytes = statements.iter().map(Statement::bytes).sum();
        let write = move |transaction: &Transaction<'_>| {
            let mut effects = Vec::with_capacity(statements.len());
            for (place, statement) in statements.iter().enumerate() {
                let effect = run(transaction, statement)?;
                if statement.is_required && effect.rows_affected == 0 {
                    return Err(StoreError::Internal(cause(Unmet(place))).into());
                }
                effects.push(effect);
            }
            Ok(effects)
        };
        match self.database.write_holding(bytes, write).await {
            Ok(effects) => Ok(Written::All(effects)),
            Err(StoreError::Internal(cause)) => match cause.downcast_ref() {
                Some(Unmet(place)) => Ok(Written::Refused(*place)),
                None => Err(StoreError::Internal(cause)),
            },
            Err(error) => Err(error),
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.database.check()?;
        self.database.write(|_| Ok(())).await
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }
}

fn run(transaction: &Transaction<'_>, statement: &Statement) -> Outcome<Effect> {
    let mut prepared = transaction.prepare_cached(&sqlite_statement(&statement.sql))?;
    if prepared.column_count() == 0 {
        let rows_affected = prepared.execute(rusqlite::params_from_iter(&statement.values))?;
        return Ok(Effect {
            rows_affected: rows_affected as u64,
            rows: Vec::new(),
        });
    }
    let rows = rows(&mut prepared, &statement.values)?;
    Ok(Effect {
        rows_affected: rows.len() as u64,
        rows,
    })
}

fn rows(prepared: &mut CachedStatement<'_>, values: &[Value]) -> Outcome<Vec<Row>> {
    let columns = prepared.column_count();
    let read = prepared.query_map(rusqlite::params_from_iter(values), |row| {
        let values = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Text(_) => Value::Text(row.get(column)?),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Real(_) => {
                    let name = "a real number".to_owned();
                    let kind = rusqlite::types::Type::Real;
                    return Err(rusqlite::Error::InvalidColumnType(column, name, kind));
                }
            })
        });
        Ok(Row(values.collect::<rusqlite::Result<_>>()?))
    })?;
    Ok(read.collect::<rusqlite::Result<_>>()?)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
