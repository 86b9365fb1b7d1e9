//! How long `ready` takes while a dependency hangs: a Redis that accepts connections and never answers.
//! `cargo run --release -p tertulia --example health_latency`

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::HealthStatus;
use redis_client::{Options, RedisClient};
use storage::MessageStore;
use tertulia::{circuits::Circuits, fleet::startup::Startup, health::Health};
use tokio::{net::TcpListener, time::sleep};

const REQUESTS: usize = 5_000;
const EVERY: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("redis://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let directory = tempfile::tempdir()?;
    let store = MessageStore::open(directory.path()).await?;
    let redis = RedisClient::new(url.parse()?, Options::new("main"));
    let health = Health::new(
        store.clone(),
        Arc::new(Startup::default()),
        vec![("redis", redis)],
        None,
        Arc::new(Circuits::alone(Default::default())),
    );
    // The first outcome of all is waited for.
    let first = health.ready().await;
    assert_eq!(first.status, HealthStatus::Degraded, "{first:?}");
    let mut took = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        health.ready().await;
        took.push(began.elapsed());
        sleep(EVERY).await;
    }
    took.sort_unstable();
    let at = |share: usize| took[(REQUESTS * share / 1_000).min(REQUESTS - 1)];
    let (median, p99, most) = (at(500), at(990), at(1_000));
    println!("ready with a dependency that hangs: p50 {median:?}, p99 {p99:?}, at most {most:?}");
    store.close().await;
    Ok(())
}
