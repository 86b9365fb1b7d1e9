//! The same tests on memory, on one Redis and on a Cluster.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use protocol::{ErrorBody, ErrorCode};
use redis_client::{Options, RedisClient, RedisUrl, cmd};

use super::network::Network;
use super::*;
use crate::auth::sign_in_attempts::{Attempt, SignInAttempts};

/// Failed sign-ins of a window, and its length.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// A permit counts for up to a sixtieth of the window longer.
const SLOT: Duration = Duration::from_secs(15);

fn home() -> Network {
    Network::from(IpAddr::from([127, 0, 0, 1]))
}

/// One place that counts, for one test alone, and a clock that can be put forward.
struct Counted {
    /// Of one instance, or of two.
    attempts: Vec<Arc<SignInAttempts>>,
    now: Instant,
    redis: Option<(RedisClient, String)>,
}

impl Counted {
    fn in_memory() -> Self {
        Self::new(
            vec![Arc::new(Limits::in_memory(&RateLimits::default()))],
            None,
        )
    }

    fn one_redis() -> Self {
        Self::redis("REDIS_SINGLE_URL")
    }

    fn cluster() -> Self {
        Self::redis("REDIS_URL")
    }

    fn redis(address: &str) -> Self {
        let url: RedisUrl = stack::address(address).parse().unwrap();
        let prefix = format!("test-{:016x}", rand::random::<u64>());
        let client = || RedisClient::new(url.clone(), Options::new("test"));
        let limits = || {
            let bus = Arc::new(Bus::in_process());
            Arc::new(Limits::redis(
                &RateLimits::default(),
                client(),
                &prefix,
                bus,
            ))
        };
        Self::new(vec![limits(), limits()], Some((client(), prefix.clone())))
    }

    fn new(limits: Vec<Arc<Limits>>, redis: Option<(RedisClient, String)>) -> Self {
        let attempts = limits.into_iter().map(SignInAttempts::new);
        Self {
            attempts: attempts.map(Arc::new).collect(),
            now: Instant::now(),
            redis,
        }
    }

    /// Those of one instance or of another: there is no telling which will be asked.
    fn attempts(&self) -> &SignInAttempts {
        &self.attempts[self.any()]
    }

    fn any(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % self.attempts.len()
    }

    /// Memory is told the time, Redis has its own: there everything that happened is moved into the past.
    async fn later(&mut self, by: Duration) {
        self.now += by;
        let Some((client, prefix)) = &self.redis else {
            return;
        };
        let keys = cmd("KEYS").arg(format!("*{prefix}*")).take();
        let keys: Vec<Vec<String>> = client.run_on_masters(keys).await.unwrap();
        for key in keys.concat() {
            let slots: Vec<(u64, u32)> = client.run(cmd("HGETALL").arg(&key)).await.unwrap();
            client.run::<()>(cmd("DEL").arg(&key)).await.unwrap();
            for (slot, permits) in slots {
                let earlier = slot - (by.as_secs() / SLOT.as_secs());
                let move_it = cmd("HSET").arg(&key).arg(earlier).arg(permits).take();
                client.run::<()>(move_it).await.unwrap();
            }
        }
    }

    async fn attempt(&self, username: &str) -> Result<Attempt<'_>, ErrorBody> {
        let attempt = self.attempts().begin(home(), username, self.now).await;
        attempt.map_err(ErrorBody::from)
    }

    async fn fail(&self, username: &str) {
        self.attempt(username).await.unwrap().failed(self.now);
    }
}

macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(super::Counted::in_memory()).await;
            })*
        }
        mod one_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(super::Counted::one_redis()).await;
            })*
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(super::Counted::cluster()).await;
            })*
        }
    };
}

on_each! {
    the_sixth_try_waits_for_the_end_of_the_window,
    the_window_slides,
    success_resets,
    a_try_without_an_outcome_is_none,
    guesses_sent_at_once_are_counted_one_by_one,
}

async fn the_sixth_try_waits_for_the_end_of_the_window(mut counted: Counted) {
    let minute = Duration::from_secs(60);
    counted.fail("Ada").await;
    counted.later(minute).await;
    for _ in 0..4 {
        counted.fail("Ada").await;
    }
    let refused = counted.attempt("ada").await.err().unwrap();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = Duration::from_millis(refused.retry_after_ms.unwrap());
    // The clock of a Redis goes on meanwhile.
    assert!(
        wait <= 14 * minute + SLOT && wait > 13 * minute,
        "wait for {wait:?}"
    );
    assert!(
        counted.attempt("grace").await.is_ok(),
        "other users aren't kept out"
    );
    let elsewhere = Network::from(IpAddr::from([192, 0, 2, 1]));
    let attempt = counted.attempts().begin(elsewhere, "ada", counted.now);
    assert!(attempt.await.is_ok(), "nor the user at another address");
    counted.later(WINDOW).await;
    assert!(counted.attempt("ada").await.is_ok());
}

async fn the_window_slides(mut counted: Counted) {
    let third = WINDOW / 3;
    for failures in [2, 2, 1] {
        for _ in 0..failures {
            counted.fail("ada").await;
        }
        counted.later(third).await;
    }
    counted.later(SLOT).await;
    // The first two are over, no others.
    counted.fail("ada").await;
    counted.fail("ada").await;
    assert!(counted.attempt("ada").await.is_err());
}

async fn success_resets(counted: Counted) {
    for _ in 0..3 {
        for _ in 0..4 {
            counted.fail("ada").await;
        }
        counted.attempt("ada").await.unwrap().succeeded().await;
    }
}

async fn a_try_without_an_outcome_is_none(counted: Counted) {
    for _ in 0..4 {
        counted.fail("ada").await;
    }
    for _ in 0..4 {
        // The one before is given back behind the scenes.
        let deadline = Instant::now() + Duration::from_secs(30);
        let attempt = loop {
            match counted.attempt("ada").await {
                Ok(attempt) => break attempt,
                Err(_) => assert!(Instant::now() < deadline, "it stays taken"),
            }
            tokio::task::yield_now().await;
        };
        drop(attempt);
    }
}

async fn guesses_sent_at_once_are_counted_one_by_one(counted: Counted) {
    let checked = Arc::new(AtomicUsize::new(0));
    let guesses = (0..50).map(|number| {
        let attempts = counted.attempts[number % counted.attempts.len()].clone();
        let (checked, now) = (checked.clone(), counted.now);
        tokio::spawn(async move {
            if let Ok(attempt) = attempts.begin(home(), "ada", now).await {
                tokio::task::yield_now().await;
                checked.fetch_add(1, Ordering::Relaxed);
                attempt.failed(now);
            }
        })
    });
    for guess in join_all(guesses).await {
        guess.unwrap();
    }
    assert_eq!(checked.load(Ordering::Relaxed), FAILURES);
    assert!(
        counted
            .attempts
            .iter()
            .all(|attempts| attempts.pending() == 0)
    );
}
