//! Tables: what is relational, in PostgreSQL in a fleet and in a SQLite file of its own in the embedded default. Statements
//! are written once, in what both understand, and the stores of one noun each are built on it.
//!
//! What must stay true: a table has the columns `TEXT`, `INTEGER` and `BLOB` alone, and a statement is one that both back
//! ends take, placeholders `$1`, `$2` … included. The few words that differ are in [`dialect`].

mod dialect;
mod migrations;
mod postgres;
mod row;
mod sqlite;
mod statement;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;

pub use row::{FromValue, Row};
pub use statement::{Effect, Statement, Written};
pub use value::Value;

pub(crate) use migrations::ALL as MIGRATIONS;

use crate::{Freshness, OpenError, Postgres, StoreError};
use postgres::PostgresTables;
use sqlite::SqliteTables;

/// The tables, durable. Cloning shares them.
#[derive(Clone)]
pub struct Sql(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(SqliteTables),
    Postgres(PostgresTables),
}

impl Sql {
    /// Opens the embedded tables, which have a file of their own in `tables/` of the data directory: what is written here
    /// doesn't wait behind messages, nor they behind it. It is locked against other processes until [`Sql::close`].
    pub async fn open(data_directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let tables = SqliteTables::open(data_directory.into().join("tables")).await?;
        Ok(Self(Backend::Sqlite(tables)))
    }

    /// The tables of a fleet.
    pub fn postgres(postgres: Postgres) -> Self {
        Self(Backend::Postgres(PostgresTables::new(postgres)))
    }

    /// The rows of a statement that only reads. It says itself how many it takes at most.
    pub async fn read(
        &self,
        freshness: Freshness<'_>,
        statement: Statement,
    ) -> Result<Vec<Row>, StoreError> {
        match &self.0 {
            // There is one copy.
            Backend::Sqlite(tables) => tables.read(statement).await,
            Backend::Postgres(tables) => tables.read(freshness, statement).await,
        }
    }

    /// Runs statements in their order as one transaction: all of them, or none if one that is
    /// [`required`](Statement::required) affected no row. In a fleet, who is named as the writer (such as a user) sees the
    /// change from now on in reads of [`Freshness::OwnWrites`].
    ///
    /// Two that write the same rows at once take them in the same order, or one of them may be answered `Unavailable`.
    pub async fn write(
        &self,
        writer: Option<&str>,
        statements: Vec<Statement>,
    ) -> Result<Written, StoreError> {
        if statements.is_empty() {
            return Ok(Written::All(Vec::new()));
        }
        match &self.0 {
            Backend::Sqlite(tables) => tables.write(statements).await,
            Backend::Postgres(tables) => tables.write(writer, statements).await,
        }
    }

    /// Fails unless something can be written.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(tables) => tables.ping().await,
            Backend::Postgres(tables) => tables.ping().await,
        }
    }

    /// Finishes what was accepted and refuses what comes after. The connections of [`Postgres`] stay, which others use.
    pub async fn close(&self) {
        if let Backend::Sqlite(tables) = &self.0 {
            tables.close().await;
        }
    }
}
