//! Databases in PostgreSQL, each for one test alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

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

    /// Runs statements, and returns the number that the last one selects, if any.
    ///
    /// # Panics
    /// If one fails.
    pub fn run(&self, sql: &str) -> Option<i64> {
        let (options, sql) = (self.options(), sql.to_owned());
        apart(async move {
            let mut connection = options.connect().await.unwrap();
            let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection);
            let number = rows.await.unwrap().last().map(|row| row.get(0));
            connection.close().await.unwrap();
            number
        })
    }

    /// Holds what a statement takes, such as a lock, until it is dropped.
    ///
    /// # Panics
    /// If it can't be had.
    pub fn hold(&self, sql: &str) -> Held {
        let (options, sql) = (self.options(), sql.to_owned());
        let (has, had) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let holding = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut connection = runtime.block_on(options.connect()).unwrap();
            let taking = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection);
            runtime.block_on(taking).unwrap();
            has.send(()).unwrap();
            // Until the other end is dropped.
            released.recv().ok();
            drop(runtime.block_on(connection.close()));
        });
        had.recv().unwrap();
        Held {
            release: Some(release),
            holding: Some(holding),
        }
    }

    fn options(&self) -> PgConnectOptions {
        self.url.parse().unwrap()
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

/// What a connection holds until this is dropped.
pub struct Held {
    release: Option<mpsc::Sender<()>>,
    holding: Option<thread::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(holding) = self.holding.take() {
            drop(holding.join());
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

/// Runs a statement.
fn execute(url: &str, sql: String) {
    let options: PgConnectOptions = url.parse().unwrap();
    apart(async move {
        let mut connection = options.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    });
}

/// On a runtime of its own: the test's can't be waited for where a value is dropped.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work))
        .join()
        .unwrap()
}
