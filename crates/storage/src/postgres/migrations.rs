//! Versions of the schema: files that are applied in order, each in a transaction with the note that it was. A file that was
//! released is never changed; a new one is added behind it.
//!
//! Instances of the version before go on running while `tertulia migrate` runs and after it: what a file takes away must
//! not have been used by the version before.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, PgConnection};

use crate::OpenError;
use crate::error::cause;
use crate::sql;

/// One step from a version of the schema to the next.
#[derive(Debug, Clone)]
pub(super) struct Migration {
    pub(super) name: &'static str,
    pub(super) sql: Cow<'static, str>,
}

/// From an empty database to the present schema; the first is version 1. Behind the one that is of this back end alone come
/// those of the tables that both have.
pub(super) fn all() -> Vec<Migration> {
    let audit = Migration {
        name: "0001_audit_entries",
        sql: include_str!("migrations/0001_audit_entries.sql").into(),
    };
    let tables = sql::MIGRATIONS.iter().map(|migration| Migration {
        name: migration.name,
        sql: migration.for_postgres().into(),
    });
    std::iter::once(audit).chain(tables).collect()
}

/// Any number that nobody else locks in this database: "tertulia".
const LOCK: i64 = i64::from_be_bytes(*b"tertulia");

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        sha256 bytea NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// Applies what is missing. Who comes meanwhile waits, and finds it done.
pub(super) async fn run(options: &PgConnectOptions, all: &[Migration]) -> Result<(), OpenError> {
    // Building an index may take long, and so may the wait for whoever does.
    let options = options
        .clone()
        .options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    let mut connection = options.connect().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    let applied = apply(&mut connection, all).await;
    // The lock ends with the connection.
    let closed = connection.close().await;
    applied?;
    closed.map_err(failed)
}

async fn apply(connection: &mut PgConnection, all: &[Migration]) -> Result<(), OpenError> {
    sqlx::query(TABLE)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let found: Vec<(i32, Vec<u8>)> =
        sqlx::query_as("SELECT version, sha256 FROM schema_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    if found.len() > all.len() {
        return Err(OpenError::Newer {
            found: found.len() as u32,
            known: all.len() as u32,
        });
    }
    for ((version, migration), found) in (1..)
        .zip(all)
        .zip(found.iter().map(Some).chain(std::iter::repeat(None)))
    {
        match found {
            Some((number, sha256)) if *number == version && sha256[..] == migration.sha256() => {}
            Some(_) => {
                let name = migration.name;
                return Err(OpenError::Database(cause(format!(
                    "the migration {name} isn't the one that was applied to this database"
                ))));
            }
            None => {
                migration.apply(connection, version).await.map_err(failed)?;
                tracing::info!(name = migration.name, "a migration was applied");
            }
        }
    }
    Ok(())
}

impl Migration {
    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&*self.sql).into()
    }

    async fn apply(&self, connection: &mut PgConnection, version: i32) -> Result<(), Error> {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(AssertSqlSafe(self.sql.clone()))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(self.name)
            .bind(self.sha256().as_slice())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

fn failed(error: Error) -> OpenError {
    OpenError::Database(cause(error))
}
