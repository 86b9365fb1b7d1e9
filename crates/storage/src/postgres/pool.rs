//! Connections to one server for one purpose: a bounded number of them, and a bounded number of those who wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection, PgPool};
use tokio::time::timeout;

use super::failure::{Failure, breaks_connection};
use super::stats::PoolStats;

/// How long a call waits for a connection, one that has to be made included.
const ACQUIRE_TIME: Duration = Duration::from_secs(5);

/// A connection is closed when it was idle for so long,
const IDLE_TIME: Duration = Duration::from_secs(300);

/// or when it is so old: what it holds at the server is freed, and it is made anew where the address points to now.
const LIFETIME: Duration = Duration::from_secs(1_800);

/// How long calls that are at work may take to end when the pool closes.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// Calls that may wait, for each connection. What has waited behind more would be given up by who asked.
const WAITING_PER_CONNECTION: usize = 32;

pub(super) struct Pool {
    connections: PgPool,
    waiting: AtomicUsize,
    max_waiting: usize,
    not_acquired: AtomicU64,
    /// When a connection was last found to be broken: those that are older may be as well.
    broken: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, size: u32) -> Self {
        let broken = Arc::new(Mutex::new(None));
        let suspects = Arc::clone(&broken);
        let connections = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_TIME)
            .idle_timeout(IDLE_TIME)
            .max_lifetime(LIFETIME)
            .test_before_acquire(false)
            // A question beforehand would double the time of a short read; so only those are asked that may be broken.
            .before_acquire(move |connection, metadata| {
                let made = Instant::now().checked_sub(metadata.age);
                let broken = *suspects.lock();
                let is_suspect =
                    broken.is_some_and(|broken| made.is_none_or(|made| made <= broken));
                Box::pin(async move {
                    if is_suspect {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self {
            connections,
            waiting: AtomicUsize::new(0),
            max_waiting: size as usize * WAITING_PER_CONNECTION,
            not_acquired: AtomicU64::new(0),
            broken,
        }
    }

    /// A connection for one call.
    pub(super) async fn acquire(&self) -> Result<Lease<'_>, Failure> {
        let waiting = Waiting::new(self);
        if waiting.before >= self.max_waiting {
            self.not_acquired.fetch_add(1, Ordering::Relaxed);
            return Err(Failure::overloaded(
                "too many wait for a connection to PostgreSQL",
            ));
        }
        match self.connections.acquire().await {
            Ok(connection) => Ok(Lease {
                pool: self,
                connection: Some(connection),
            }),
            Err(error) => {
                self.not_acquired.fetch_add(1, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let open = u64::from(self.connections.size());
        let idle = self.connections.num_idle() as u64;
        PoolStats {
            size: u64::from(self.connections.options().get_max_connections()),
            open,
            in_use: open.saturating_sub(idle),
            waiting: self.waiting.load(Ordering::Relaxed) as u64,
            not_acquired: self.not_acquired.load(Ordering::Relaxed),
        }
    }

    pub(super) async fn close(&self) {
        if timeout(CLOSE_TIME, self.connections.close()).await.is_err() {
            tracing::warn!("a server of PostgreSQL hangs; its connections weren't closed in order");
        }
    }
}

/// One who waits for a connection.
struct Waiting<'p> {
    pool: &'p Pool,
    before: usize,
}

impl<'p> Waiting<'p> {
    fn new(pool: &'p Pool) -> Self {
        let before = pool.waiting.fetch_add(1, Ordering::Relaxed);
        Self { pool, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection on loan. Without [`Lease::release`] it is closed: its caller has gone in the middle of something.
pub(super) struct Lease<'p> {
    pool: &'p Pool,
    connection: Option<PoolConnection<sqlx::Postgres>>,
}

impl Lease<'_> {
    #[expect(clippy::expect_used, reason = "only what consumes the lease takes it")]
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection
            .as_mut()
            .expect("a lease has its connection")
    }

    /// Gives the connection back, unless what was done with it has broken it.
    pub(super) fn release<T>(mut self, result: Result<T, Error>) -> Result<T, Failure> {
        match result {
            Err(error) if breaks_connection(&error) => {
                self.give_up();
                Err(error.into())
            }
            result => {
                drop(self.connection.take());
                result.map_err(Failure::from)
            }
        }
    }

    /// The server doesn't answer: whatever it still does, its connection isn't waited for.
    pub(super) fn abandon(mut self) -> Failure {
        self.give_up();
        Failure::unavailable("PostgreSQL doesn't answer in time")
    }

    fn give_up(&mut self) {
        *self.pool.broken.lock() = Some(Instant::now());
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}
