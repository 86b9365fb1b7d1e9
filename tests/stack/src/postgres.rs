//! Databases in PostgreSQL, each for one test alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::{Stack, address};

/// A database, which goes with this.
pub struct PostgresDatabase {
    /// Where it is on the primary.
    pub url: String,
    /// Where it is on the replicas, with commas between.
    pub replica_urls: String,
    name: String,
    /// Where others are made and removed.
    server: String,
}

impl PostgresDatabase {
    /// In the servers that all tests share.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn shared() -> Self {
        Self::new(&address("DATABASE_URL"), &address("DATABASE_REPLICA_URLS"))
    }

    /// In those of a test's own.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn on(stack: &Stack) -> Self {
        Self::new(
            &stack.get("DATABASE_URL"),
            &stack.get("DATABASE_REPLICA_URLS"),
        )
    }

    fn new(server: &str, replicas: &str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("test_{}_{process}_{number}", since.as_secs());
        execute(server, format!("CREATE DATABASE {name}"));
        let replicas = replicas
            .split(',')
            .map(|replica| in_database(replica, &name));
        Self {
            url: in_database(server, &name),
            replica_urls: replicas.collect::<Vec<_>>().join(","),
            name,
            server: server.to_owned(),
        }
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        // Of a test that failed the servers may be gone.
        if !thread::panicking() {
            execute(
                &self.server,
                format!("DROP DATABASE {} WITH (FORCE)", self.name),
            );
        }
    }
}

/// The address of a server, which names the database that every server has, with another.
fn in_database(url: &str, name: &str) -> String {
    let (server, parameters) = url.split_once('?').unwrap_or((url, ""));
    let server = server.strip_suffix("/postgres").unwrap();
    let separator = if parameters.is_empty() { "" } else { "?" };
    format!("{server}/{name}{separator}{parameters}")
}

/// Runs a statement, on a runtime of its own: the test's can't be waited for where a value is dropped.
fn execute(url: &str, sql: String) {
    let options: PgConnectOptions = url.parse().unwrap();
    let run = async move {
        let mut connection = options.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    };
    thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(run))
        .join()
        .unwrap();
}
