//! Tables of one test alone, on each of their back ends.

use stack::PostgresDatabase;
use storage::{Postgres, PostgresConfig, Sql, Statement};
use tempfile::TempDir;

/// Tables, which go with this.
pub(crate) struct Tables {
    pub(crate) sql: Sql,
    _place: Place,
}

#[expect(dead_code, reason = "it goes with the test")]
enum Place {
    Directory(TempDir),
    Database(PostgresDatabase),
}

impl Tables {
    pub(crate) async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            sql: Sql::open(directory.path()).await.unwrap(),
            _place: Place::Directory(directory),
        }
    }

    pub(crate) async fn postgres() -> Self {
        let database = PostgresDatabase::shared();
        Postgres::migrate(&config(&database)).await.unwrap();
        Self {
            sql: Sql::postgres(Postgres::connect(config(&database)).unwrap()),
            _place: Place::Database(database),
        }
    }

    pub(crate) async fn write(&self, statements: Vec<Statement>) {
        self.sql.write(None, statements).await.unwrap();
    }
}

/// Without replicas, which would answer what is some milliseconds old.
pub(crate) fn config(database: &PostgresDatabase) -> PostgresConfig {
    PostgresConfig {
        url: database.url.parse().unwrap(),
        replica_urls: Vec::new(),
        write_pool_size: 4,
        read_pool_size: 4,
        ca_file: None,
    }
}
