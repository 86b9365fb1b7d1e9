//! Instances that share their counts in a Redis, and the same on a Cluster.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rate_limiter::{Grant, Key, Limit, Mode, RateLimiter, Refusal, Tier};
use redis_client::{Options, RedisClient, RedisUrl, cmd};

const INSTANCES: usize = 8;

/// The limiters of one fleet.
struct Fleet {
    limiters: Vec<RateLimiter>,
    redis: RedisClient,
    prefix: String,
}

impl Fleet {
    fn of(address: &str, limit: Limit, mode: Mode) -> Self {
        let url: RedisUrl = stack::address(address).parse().unwrap();
        let prefix = format!("test-{:016x}", rand::random::<u64>());
        let client = || RedisClient::new(url.clone(), Options::new("test"));
        let tier = Tier {
            name: "tests",
            limit: Some(limit),
            mode,
        };
        let limiters =
            (0..INSTANCES).map(|_| RateLimiter::shared(&[tier], client(), prefix.clone()));
        Self {
            limiters: limiters.collect(),
            redis: client(),
            prefix,
        }
    }

    async fn take(&self, index: usize, name: &str) -> Result<Grant, Refusal> {
        let limiter = &self.limiters[index % INSTANCES];
        limiter.take(0, Key::of(&[name]), 1, Instant::now()).await
    }

    /// Takes as much as all instances give for a while; when each permit was asked for and granted.
    async fn greed(&self, time: Duration) -> Vec<(Instant, Instant)> {
        let (granted, end) = (Arc::new(Mutex::new(Vec::new())), Instant::now() + time);
        let takers = (0..INSTANCES * 4).map(|index| {
            let (limiter, granted) = (self.limiters[index % INSTANCES].clone(), granted.clone());
            // Clocks of instances needn't agree.
            let ahead = Duration::from_secs(60 * (index % INSTANCES) as u64);
            tokio::spawn(async move {
                while Instant::now() < end {
                    let asked = Instant::now();
                    match limiter
                        .take(0, Key::of(&["greedy"]), 1, asked + ahead)
                        .await
                    {
                        Ok(_) => granted.lock().unwrap().push((asked, Instant::now())),
                        Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                }
            })
        });
        for taker in join_all(takers).await {
            taker.unwrap();
        }
        let mut granted = std::mem::take(&mut *granted.lock().unwrap());
        granted.sort();
        granted
    }
}

/// The most that were surely granted within one window.
fn most_in_a_window(granted: &[(Instant, Instant)], window: Duration) -> usize {
    let from = |start: usize| {
        let end = granted[start].0 + window;
        granted[start..]
            .iter()
            .filter(|(_, got)| *got < end)
            .count()
    };
    (0..granted.len()).map(from).max().unwrap_or(0)
}

macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod one_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test("REDIS_SINGLE_URL").await;
            })*
        }
        mod redis_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test("REDIS_URL").await;
            })*
        }
    };
}

on_each! {
    a_strict_window_never_holds_more_than_the_limit,
    a_leased_window_holds_at_most_the_credit_of_each_more,
    several_are_taken_together_or_not_at_all,
    what_is_reserved_counts_only_when_it_is_said,
    who_does_little_costs_no_round_trip,
    a_cleared_principal_begins_anew_on_every_instance,
}

async fn a_strict_window_never_holds_more_than_the_limit(address: &str) {
    let limit = Limit::of(20, 1);
    let fleet = Fleet::of(address, limit, Mode::Strict);
    let granted = fleet.greed(Duration::from_millis(3_500)).await;
    assert!(most_in_a_window(&granted, limit.window) <= 20);
    // The windows follow each other closely.
    assert!(granted.len() >= 40, "{}", granted.len());
}

async fn a_leased_window_holds_at_most_the_credit_of_each_more(address: &str) {
    let limit = Limit::of(100, 1);
    let fleet = Fleet::of(address, limit, Mode::Leased);
    let granted = fleet.greed(Duration::from_millis(3_500)).await;
    let most = most_in_a_window(&granted, limit.window);
    assert!(most <= 100 + INSTANCES * 5, "{most}");
    assert!(granted.len() >= 200, "{}", granted.len());
}

async fn several_are_taken_together_or_not_at_all(address: &str) {
    let fleet = Fleet::of(address, Limit::of(10, 600), Mode::Strict);
    let key = Key::of(&["ann"]);
    let take = async |index: usize, wanted| {
        let taken = fleet.limiters[index].take(0, key, wanted, Instant::now());
        taken.await.map(|grant| grant.remaining)
    };
    assert_eq!(take(0, 4).await, Ok(6));
    assert_eq!(take(1, 5).await, Ok(1));
    let refused = take(2, 2).await.unwrap_err();
    assert_eq!(refused.limit, 10);
    assert!(refused.wait > Duration::from_secs(595) && refused.wait <= Duration::from_secs(610));
    assert_eq!(take(3, 1).await, Ok(0));
    assert!(take(4, 1).await.is_err());
    let more_than_all = fleet.limiters[5].take(0, Key::of(&["bob"]), 99, Instant::now());
    assert_eq!(more_than_all.await.unwrap().remaining, 0);
}

async fn what_is_reserved_counts_only_when_it_is_said(address: &str) {
    let fleet = Fleet::of(address, Limit::of(2, 600), Mode::Strict);
    let key = Key::of(&["ann"]);
    let used = async || {
        let state = fleet.limiters[7]
            .state(0, key, Instant::now())
            .await
            .unwrap();
        assert!(state.shared);
        state.used
    };
    let reserve = async |index: usize| fleet.limiters[index].reserve(0, key, Instant::now()).await;
    let first = reserve(0).await.unwrap();
    let second = reserve(1).await.unwrap();
    assert!(reserve(2).await.is_err());
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(60);
    while used().await > 1 {
        assert!(Instant::now() < deadline, "it stays taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    second.count(Instant::now());
    assert_eq!(used().await, 1);
    reserve(3).await.unwrap().reset().await;
    assert_eq!(used().await, 0);
}

async fn who_does_little_costs_no_round_trip(address: &str) {
    let fleet = Fleet::of(address, Limit::of(100, 600), Mode::Leased);
    for number in 0..2 {
        let grant = fleet.limiters[0].try_take(0, Key::of(&["ann"]), Instant::now());
        assert_eq!(grant.unwrap().unwrap().remaining, 99 - number);
    }
    let keys = cmd("KEYS").arg(format!("*{}*", fleet.prefix)).take();
    let keys: Vec<Vec<String>> = fleet.redis.run_on_masters(keys).await.unwrap();
    assert_eq!(keys.concat(), Vec::<String>::new());
    for _ in 0..60 {
        fleet.take(0, "ann").await.unwrap();
    }
    let stats = fleet.limiters[0].stats().next().unwrap();
    assert_eq!(stats.counts.granted, 62);
    assert!(stats.counts.leased >= 57 && stats.counts.leased <= 70);
    // Its name is nowhere, and nothing stays for ever.
    let keys = cmd("KEYS").arg(format!("*{}*", fleet.prefix)).take();
    let keys: Vec<Vec<String>> = fleet.redis.run_on_masters(keys).await.unwrap();
    let [key] = &keys.concat()[..] else {
        panic!("{keys:?}");
    };
    assert!(!key.contains("ann"), "{key}");
    let left: i64 = fleet.redis.run(cmd("PTTL").arg(key)).await.unwrap();
    assert!(left > 0 && left <= 670_000, "{left}");
}

async fn a_cleared_principal_begins_anew_on_every_instance(address: &str) {
    let fleet = Fleet::of(address, Limit::of(40, 600), Mode::Leased);
    let mut index = 0;
    while fleet.take(index, "ann").await.is_ok() {
        index += 1;
        assert!(index <= 40 + INSTANCES * 2);
    }
    for index in 0..INSTANCES {
        while fleet.take(index, "ann").await.is_ok() {}
    }
    let key = Key::of(&["ann"]);
    let state = fleet.limiters[0]
        .state(0, key, Instant::now())
        .await
        .unwrap();
    assert!(state.used >= 40 && !state.wait.is_zero(), "{state:?}");
    fleet.limiters[0].clear(0, key).await.unwrap();
    assert!(fleet.take(0, "ann").await.is_ok());
    assert!(fleet.take(1, "ann").await.is_err());
    fleet.limiters[1].forget(0, key);
    assert!(fleet.take(1, "ann").await.is_ok());
    // The others didn't hear of it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while fleet.take(2, "ann").await.is_err() {
        assert!(Instant::now() < deadline, "it is believed for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn while_redis_is_away_each_counts_alone() {
    // A port that nobody listens on: it was somebody's a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", closed.local_addr().unwrap());
    drop(closed);
    let tier = |mode| Tier {
        name: "tests",
        limit: Some(Limit::of(30, 600)),
        mode,
    };
    let client = RedisClient::new(url.parse().unwrap(), Options::new("test"));
    let tiers = [tier(Mode::Strict), tier(Mode::Leased)];
    let limiter = RateLimiter::shared(&tiers, client, "test");
    let key = Key::of(&["ann"]);
    for tier in [0, 1] {
        for _ in 0..30 {
            limiter.take(tier, key, 1, Instant::now()).await.unwrap();
        }
        let refused = limiter.take(tier, key, 1, Instant::now()).await;
        assert!(refused.unwrap_err().wait > Duration::from_secs(590));
        let state = limiter.state(tier, key, Instant::now()).await.unwrap();
        assert_eq!((state.used, state.shared), (30, false));
    }
    // What an administrator clears is forgotten here nevertheless.
    assert!(limiter.clear(0, key).await.is_err());
    assert!(limiter.take(0, key, 1, Instant::now()).await.is_ok());
    assert!(limiter.errors() > 0 && !limiter.alone().is_zero());
}

#[tokio::test]
async fn a_single_instance_counts_in_memory() {
    let limited = |limit, mode| Tier {
        name: "tests",
        limit,
        mode,
    };
    let limit = Some(Limit::of(3, 60));
    let limiter = RateLimiter::in_memory(&[
        limited(limit, Mode::Strict),
        limited(limit, Mode::Leased),
        limited(None, Mode::Leased),
    ]);
    let (key, now) = (Key::of(&["ann"]), Instant::now());
    for tier in [0, 1] {
        for left in [2, 1, 0] {
            let grant = limiter.take(tier, key, 1, now).await.unwrap();
            assert_eq!((grant.limit, grant.remaining), (Some(3), left));
            assert!(grant.reset >= Duration::from_secs(60));
        }
        let refused = limiter.take(tier, key, 1, now).await.unwrap_err();
        assert!(limiter.take(tier, key, 1, now + refused.wait).await.is_ok());
        limiter.clear(tier, key).await.unwrap();
        assert_eq!(limiter.take(tier, key, 1, now).await.unwrap().remaining, 2);
    }
    for _ in 0..1_000 {
        assert_eq!(limiter.try_take(2, key, now).unwrap().unwrap().limit, None);
    }
    assert!(limiter.state(2, key, now).await.is_none());
    drop(limiter.reserve(2, key, now).await.unwrap());
}
