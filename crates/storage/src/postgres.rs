//! PostgreSQL for what is relational in a fleet: a primary that takes the writes, and replicas that take reads. Knows
//! nothing of what is stored.
//!
//! What must stay true:
//! - whatever is asked of a server goes through [`Postgres::call`], with a connection of a pool and within a time;
//! - a read that names a writer sees all that this instance wrote for it ([`Replicas`] says how that is known);
//! - no type of the driver leaves the crate.

mod config;
mod failure;
mod migrations;
mod monitor;
mod pool;
mod replicas;
mod stats;
#[cfg(test)]
mod tests;
mod values;
mod writers;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use circuit_breaker::Breaker;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::{OpenError, StoreError};

pub use config::{PostgresConfig, PostgresUrl};
pub use stats::{PoolStats, PostgresObservation, PostgresStats, ReplicaState, ReplicaStats};
pub(crate) use values::{Id, Moment};

use failure::{Blame, Failure};
use pool::Pool;
use replicas::Replicas;
use stats::Counts;
use writers::Writers;

/// How long all statements of one call may take together. A little longer than the server lets one run, so that it is the
/// server that gives up, unless it hangs.
const CALL_TIME: Duration = Duration::from_secs(12);

/// How long a server that works takes at most to answer a ping. Less than whoever asks for one waits.
const PING_TIME: Duration = Duration::from_millis(1_500);

/// The pools of one instance. Cloning shares them.
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    config: PostgresConfig,
    /// To the primary, for what writes.
    writes: Pool,
    /// To the primary, for reads that no replica may answer.
    primary_reads: Pool,
    replicas: Replicas,
    writers: Writers,
    counts: Counts,
    /// Of the primary. Replicas that fail are left out by themselves.
    breaker: OnceLock<Arc<Breaker>>,
}

/// What a read has to see.
#[derive(Debug, Clone, Copy)]
pub enum Freshness<'a> {
    /// What a replica has that is in rotation.
    Recent,
    /// And all that this instance has written for this writer, such as a user.
    OwnWrites(&'a str),
    /// Everything, so it's asked of the primary.
    Latest,
}

/// What is awaited on a connection. It is boxed, and owns what it needs: of a closure that borrows, the compiler can't tell
/// that its future may be sent to another thread.
pub(crate) type Answer<'c, T> = BoxFuture<'c, Result<T, sqlx::Error>>;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Postgres {
    /// Pools that connect when they are used, and a task that watches the servers until the last clone is dropped. Must
    /// be called on a runtime.
    pub fn connect(config: PostgresConfig) -> Result<Self, OpenError> {
        let primary = config.options(&config.url)?;
        let replicas = config
            .replica_urls
            .iter()
            .map(|url| config.options(url))
            .collect::<Result<Vec<_>, _>>()?;
        let shared = Arc::new(Shared {
            writes: Pool::new(primary.clone(), config.write_pool_size),
            primary_reads: Pool::new(primary.clone(), config.read_pool_size),
            replicas: Replicas::new(&replicas, config.read_pool_size),
            writers: Writers::default(),
            counts: Counts::default(),
            breaker: OnceLock::new(),
            config,
        });
        monitor::spawn(&shared, primary, replicas);
        Ok(Self { shared })
    }

    /// Has a circuit breaker decide from now on whether the primary is asked; only the first one stays.
    pub fn guard(&self, breaker: Arc<Breaker>) {
        if self.shared.breaker.set(breaker).is_err() {
            tracing::error!("the calls to PostgreSQL are guarded already");
        }
    }

    /// Applies what of the migrations a database lacks, in order; any number of programs may do so at once.
    pub async fn migrate(config: &PostgresConfig) -> Result<(), OpenError> {
        migrations::run(&config.options(&config.url)?, &migrations::all()).await
    }

    /// Fails unless the primary answers soon; that it doesn't counts as a failure of it.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let call = self.call(&self.shared.writes, Access::Write, |connection| {
            Box::pin(async { sqlx::query("SELECT 1").execute(connection).await.map(drop) })
        });
        let answer = async {
            let late = |_| Failure::unavailable("PostgreSQL doesn't answer in time");
            timeout(PING_TIME, call).await.map_err(late)?
        };
        Ok(self.guarded(answer).await?)
    }

    /// Where the primary is, without credentials.
    pub fn address(&self) -> String {
        self.shared.config.url.to_string()
    }

    /// Closes all connections; those at work finish first.
    pub async fn close(&self) {
        let shared = &self.shared;
        tokio::join!(
            shared.writes.close(),
            shared.primary_reads.close(),
            shared.replicas.close()
        );
    }

    /// Runs `work` on the primary, for `writer`, who reads it from now on. What has to happen as a whole is one statement
    /// or in a transaction that `work` begins. After [`StoreError::Unavailable`] it isn't known whether it happened.
    pub(crate) async fn write<T>(
        &self,
        writer: Option<&str>,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T>,
    ) -> Result<T, StoreError> {
        let shared = &self.shared;
        let call = self.call(&shared.writes, Access::Write, work);
        let result = self.guarded(call).await;
        if let Some(writer) = writer
            && shared.replicas.any()
        {
            shared.writers.wrote(writer, Instant::now());
        }
        Ok(result?)
    }

    /// Runs `work`, which only reads, on a replica, or on the primary if that fails or no replica is fresh enough.
    pub(crate) async fn read<T>(
        &self,
        freshness: Freshness<'_>,
        work: impl for<'c> Fn(&'c mut PgConnection) -> Answer<'c, T>,
    ) -> Result<T, StoreError> {
        let shared = &self.shared;
        let written = match freshness {
            Freshness::Recent => None,
            Freshness::OwnWrites(writer) => shared.writers.last_write(writer),
            Freshness::Latest => Some(Instant::now()),
        };
        if let Some(replica) = shared.replicas.choose(written) {
            let asked = async {
                tokio::select! {
                    biased;
                    result = self.call(&replica.pool, Access::Read, &work) => Some(result),
                    // It may hang: whoever waits for it asks elsewhere.
                    () = replica.failed() => None,
                }
            };
            match asked.await {
                Some(Err(failure)) if failure.elsewhere => {
                    shared.counts.redirected();
                }
                None => shared.counts.redirected(),
                Some(result) => return Ok(result?),
            }
        }
        let call = self.call(&shared.primary_reads, Access::Read, work);
        Ok(self.guarded(call).await?)
    }

    /// Makes a call of the primary, unless its circuit is open.
    async fn guarded<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(breaker) = self.shared.breaker.get() else {
            return call.await;
        };
        let permit = breaker
            .acquire()
            .map_err(|_| Failure::unavailable("PostgreSQL failed too often just now"))?;
        let result = call.await;
        match &result {
            Ok(_) => permit.succeeded(),
            Err(failure) => match failure.blame {
                Blame::Server => permit.failed(),
                Blame::Request => permit.succeeded(),
                // The server wasn't asked.
                Blame::Load => drop(permit),
            },
        }
        result
    }

    /// Runs `work` on a connection of a pool: the one place where servers are asked anything.
    async fn call<T>(
        &self,
        pool: &Pool,
        access: Access,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T>,
    ) -> Result<T, Failure> {
        let counts = &self.shared.counts;
        let asked = Instant::now();
        let lease = pool.acquire().await;
        counts.acquired(asked.elapsed());
        let began = Instant::now();
        let result = match lease {
            Err(failure) => Err(failure),
            Ok(mut lease) => match timeout(CALL_TIME, work(lease.connection())).await {
                Ok(result) => lease.release(result),
                Err(_) => Err(lease.abandon()),
            },
        };
        counts.ended(access, began.elapsed(), &result);
        result
    }
}
