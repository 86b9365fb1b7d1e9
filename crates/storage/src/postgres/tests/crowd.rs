//! Many who write, and read what they wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{PATIENCE, until};
use crate::StoreError;
use crate::postgres::{Freshness, Postgres};

const WRITERS: usize = 16;

/// Writers who each write numbers, one after the other, the same again after an error whose outcome isn't known, and who
/// must see all that was acked after every write.
pub(super) struct Crowd {
    postgres: Postgres,
    tasks: JoinSet<u64>,
    counts: Arc<Counts>,
}

#[derive(Default)]
pub(super) struct Counts {
    stop: AtomicBool,
    pub(super) acked: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) read: AtomicU64,
    pub(super) unread: AtomicU64,
}

impl Crowd {
    pub(super) async fn start(postgres: &Postgres) -> Self {
        let create =
            "CREATE TABLE written (writer text, number bigint, PRIMARY KEY (writer, number))";
        postgres
            .write(None, |connection| {
                Box::pin(async move { sqlx::query(create).execute(connection).await })
            })
            .await
            .unwrap();
        let counts = Arc::<Counts>::default();
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (postgres, counts) = (postgres.clone(), Arc::clone(&counts));
            tasks.spawn(async move {
                let writer = format!("writer-{writer}");
                let mut acked = 0;
                while !counts.stop.load(Ordering::Relaxed) {
                    match write(&postgres, &writer, acked + 1).await {
                        Ok(()) => {
                            acked += 1;
                            counts.acked.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            is_temporary(&error);
                            counts.unavailable.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                    match read(&postgres, &writer, Freshness::OwnWrites(&writer)).await {
                        // The one that isn't acked may be there.
                        Ok(seen) => {
                            assert!((acked..=acked + 1).contains(&seen), "{seen} of {acked}");
                            counts.read.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            is_temporary(&error);
                            counts.unread.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                acked
            });
        }
        Self {
            postgres: postgres.clone(),
            tasks,
            counts,
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Until so many more were acked, and their writers have read.
    pub(super) async fn go_on(&self, more: u64) {
        let wanted = self.counts.acked.load(Ordering::Relaxed) + more;
        until("writes", || {
            self.counts.acked.load(Ordering::Relaxed) >= wanted
        })
        .await;
        let wanted = self.counts.read.load(Ordering::Relaxed) + more;
        until("reads", || {
            self.counts.read.load(Ordering::Relaxed) >= wanted
        })
        .await;
    }

    /// Ends them; everything that was acked must be there, once.
    pub(super) async fn check(mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        let mut acked = 0;
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.tasks.join_next())
            .await
            .unwrap()
        {
            acked += ended.unwrap();
        }
        let numbers = "SELECT count(*), count(DISTINCT (writer, number)) FROM written";
        let (rows, distinct): (i64, i64) = self
            .postgres
            .read(Freshness::Latest, |connection| {
                Box::pin(async move { sqlx::query_as(numbers).fetch_one(connection).await })
            })
            .await
            .unwrap();
        assert_eq!(rows, distinct);
        assert!(
            (acked..=acked + WRITERS as u64).contains(&rows.unsigned_abs()),
            "{rows} rows of {acked} that were acked"
        );
    }
}

fn is_temporary(error: &StoreError) {
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

async fn write(postgres: &Postgres, writer: &str, number: u64) -> Result<(), StoreError> {
    let insert = "INSERT INTO written VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let query = sqlx::query(insert).bind(writer).bind(number as i64);
    postgres
        .write(Some(writer), |connection| {
            Box::pin(async move { query.execute(connection).await.map(drop) })
        })
        .await
}

/// How many a writer has, all of whose numbers from 1 on must be there.
async fn read(
    postgres: &Postgres,
    writer: &str,
    freshness: Freshness<'_>,
) -> Result<u64, StoreError> {
    let select = "SELECT count(*), coalesce(max(number), 0) FROM written WHERE writer = $1";
    let (count, last): (i64, i64) = postgres
        .read(freshness, |connection| {
            let query = sqlx::query_as(select).bind(writer.to_owned());
            Box::pin(async move { query.fetch_one(connection).await })
        })
        .await?;
    assert_eq!(count, last);
    Ok(count.unsigned_abs())
}
