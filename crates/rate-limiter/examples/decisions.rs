//! How many decisions a second: in memory, leased, and strict on one Redis (`REDIS_SINGLE_URL`).
//!
//! `cargo run --release -p rate-limiter --example decisions`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rate_limiter::{Key, Limit, Mode, RateLimiter, Tier};
use redis_client::{Options, RedisClient};

const TIME: Duration = Duration::from_secs(3);
const PRINCIPALS: usize = 1_000;
const CALLERS: usize = 512;

fn tier(mode: Mode) -> Tier {
    Tier {
        name: "bench",
        limit: Some(Limit::of(1_000_000_000, 60)),
        mode,
    }
}

fn keys() -> Vec<Key> {
    let names = (0..PRINCIPALS).map(|number| number.to_string());
    names.map(|name| Key::of(&[&name])).collect()
}

/// Decisions of one thread.
fn decide(limiter: &RateLimiter, name: &str) {
    let keys = keys();
    let (begun, mut count, mut refused) = (Instant::now(), 0_u64, 0_u64);
    while begun.elapsed() < TIME {
        for key in &keys {
            match limiter.try_take(0, *key, Instant::now()) {
                Some(Ok(grant)) => drop(black_box(grant)),
                _ => refused += 1,
            }
            count += 1;
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64() / 1e6;
    println!("{name}: {rate:.1} M decisions/s on one core, {refused} not granted at once");
}

#[tokio::main]
async fn main() {
    let prefix = format!("bench-{:016x}", rand::random::<u64>());
    decide(&RateLimiter::in_memory(&[tier(Mode::Leased)]), "memory");
    let Ok(url) = std::env::var("REDIS_SINGLE_URL") else {
        return println!("without REDIS_SINGLE_URL that is all");
    };
    let client = || match url.parse() {
        Ok(url) => RedisClient::new(url, Options::new("bench")),
        Err(error) => panic!("{error}"),
    };
    let leased = RateLimiter::shared(&[tier(Mode::Leased)], client(), prefix.clone());
    tokio::task::block_in_place(|| decide(&leased, "leased"));
    let strict = RateLimiter::shared(&[tier(Mode::Strict)], client(), prefix);
    let (begun, keys) = (Instant::now(), keys());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (limiter, keys) = (strict.clone(), keys.clone());
            tokio::spawn(async move {
                let mut count = 0_u64;
                for key in keys.iter().cycle().skip(caller) {
                    if begun.elapsed() >= TIME {
                        break;
                    }
                    count += u64::from(limiter.take(0, *key, 1, Instant::now()).await.is_ok());
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await.unwrap_or_default();
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!(
        "strict: {rate:.0} decisions/s of {CALLERS} callers, {} errors",
        strict.errors()
    );
}
