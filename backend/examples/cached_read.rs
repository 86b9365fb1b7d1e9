//! What a cached read costs: `cargo run --release -p tertulia --example cached_read`.

use std::{hint::black_box, sync::Arc, time::Instant};

use gateway::Hub;
use protocol::{Role, User, UserId};
use storage::StoreError;
use tertulia::{cache::Cache, fleet::bus::Bus};

const USERS: usize = 10_000;
const ROUNDS: usize = 7;
const READS: usize = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StoreError> {
    let cache = Cache::alone(Hub::new(Some(1)), Arc::new(Bus::in_process()));
    let ids: Vec<_> = (0..USERS).map(|n| format!("user-{n:016x}")).collect();
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let began = Instant::now();
        for read in 0..READS {
            let id = &ids[read * 7 % USERS];
            let load = || async { Ok(Some(user(id))) };
            black_box(cache.get::<User, _>(id, load).await?);
        }
        rounds.push(began.elapsed().as_nanos() as f64 / READS as f64);
    }
    // The first one loads.
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    println!("a read from memory: {:.0} ns", rounds[ROUNDS / 2]);
    println!("{:?}", cache.stats());
    Ok(())
}

fn user(id: &str) -> User {
    User {
        id: UserId::trusted(id),
        username: "countess".to_owned(),
        display_name: "Ada, Countess of Lovelace".to_owned(),
        avatar_url: Some("https://example.org/pictures/ada.png".to_owned()),
        guest: false,
        role: Role::User,
        email: None,
    }
}
