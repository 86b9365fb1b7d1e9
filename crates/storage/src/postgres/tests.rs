//! The pools on real servers: what they do when these are killed, paused or full, while many write and read.

mod breaker;
mod crowd;
mod faults;
mod migrations;
mod tls;

use std::time::{Duration, Instant};

use stack::PostgresDatabase;

use super::*;

/// How long anything may take before it counts as never happening.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(database: &PostgresDatabase) -> PostgresConfig {
    let replicas = database.replica_urls.split(',');
    PostgresConfig {
        url: database.url.parse().unwrap(),
        replica_urls: replicas.map(|url| url.parse().unwrap()).collect(),
        write_pool_size: 8,
        read_pool_size: 8,
        ca_file: None,
    }
}

/// Looks until `look` finds it.
async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The state of the only replica.
fn replica_state(postgres: &Postgres) -> ReplicaState {
    postgres.stats().replicas[0].state
}

async fn is_in(postgres: &Postgres, state: ReplicaState) {
    until(state.name(), || replica_state(postgres) == state).await;
}
