//! Watches the servers: asks the primary where its log is and the replicas how far they are, each on a connection of its
//! own, so that full pools don't hide what they are.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

use super::Shared;
use super::replicas::{MAX_LAG, Position};

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is flushed, as a commit that was answered is; on a server that recovers the function isn't allowed.
const PRIMARY: &str = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint";

/// Without an answer if it isn't a replica, or not any more.
const REPLICA: &str =
    "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END";

/// Starts the task, which ends with what it watches for.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    primary: PgConnectOptions,
    replicas: Vec<PgConnectOptions>,
) {
    let shared = Arc::downgrade(shared);
    let mut primary = Watched::new(primary, PRIMARY);
    let mut replicas: Vec<_> = replicas
        .into_iter()
        .map(|options| Watched::new(options, REPLICA))
        .collect();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !watch(&shared, &mut primary, &mut replicas).await {
                return;
            }
        }
    });
}

/// One round; false if nobody is interested any more.
async fn watch(shared: &Weak<Shared>, primary: &mut Watched, replicas: &mut [Watched]) -> bool {
    let asked = Instant::now();
    let position = primary.position().await;
    let answers = join_all(replicas.iter_mut().map(Watched::position)).await;
    let Some(shared) = shared.upgrade() else {
        return false;
    };
    if let Ok(position) = position {
        shared.replicas.primary_was_at(asked, position);
    }
    shared.counts.primary(position.err());
    shared.replicas.measured(position.is_ok(), &answers);
    // What is older is had by each replica that comes into rotation.
    if let Some(limit) = asked.checked_sub(MAX_LAG * 2) {
        let covered = shared.replicas.covered().unwrap_or(limit);
        shared.writers.forget_until(covered.min(limit));
    }
    true
}

/// A server and the connection on which it is asked.
struct Watched {
    options: PgConnectOptions,
    question: &'static str,
    connection: Option<PgConnection>,
}

impl Watched {
    fn new(options: PgConnectOptions, question: &'static str) -> Self {
        Self {
            options,
            question,
            connection: None,
        }
    }

    /// Where the server is, or what is wrong with it.
    async fn position(&mut self) -> Result<Position, &'static str> {
        // It is kept only after an answer, so none is asked again after half of one.
        let kept = self.connection.take();
        let asked = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let position: Option<i64> = sqlx::query_scalar(self.question)
                .fetch_one(&mut connection)
                .await?;
            Ok::<_, sqlx::Error>((connection, position))
        };
        match timeout(PATIENCE, asked).await {
            Err(_) => Err("no answer in 1 s"),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a server of PostgreSQL doesn't say where it is");
                Err("not reached")
            }
            Ok(Ok((_, None))) => Err("not a replica"),
            Ok(Ok((connection, Some(position)))) => {
                self.connection = Some(connection);
                Ok(position.unsigned_abs())
            }
        }
    }
}
