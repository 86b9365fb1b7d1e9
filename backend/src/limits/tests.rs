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
use redis_client::{Options, RedisUrl, cmd};

use super::network::Network;
use super::windows::CAPACITY;
use super::*;
use crate::auth::sign_in_attempts::{Attempt, SignInAttempts};

const FAILURES: Limit = Action::FailedSignIn.limit();
const GUESTS: Limit = Action::Guest.limit();

fn home() -> Network {
    Network::from(IpAddr::from([127, 0, 0, 1]))
}

/// One place that counts, for one test alone, and a clock that can be put forward.
struct Counted {
    /// Of one instance, or of two.
    limits: Vec<Arc<Limits>>,
    /// On the same.
    attempts: Vec<Arc<SignInAttempts>>,
    now: Instant,
    redis: Option<(RedisClient, String)>,
}

impl Counted {
    fn in_memory() -> Self {
        Self::new(vec![Arc::new(Limits::in_memory())], None)
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
        let limits = || Arc::new(Limits::redis(client(), prefix.clone()));
        Self::new(vec![limits(), limits()], Some((client(), prefix.clone())))
    }

    fn new(limits: Vec<Arc<Limits>>, redis: Option<(RedisClient, String)>) -> Self {
        let attempts = limits.iter().cloned().map(SignInAttempts::new);
        Self {
            attempts: attempts.map(Arc::new).collect(),
            limits,
            now: Instant::now(),
            redis,
        }
    }

    /// Those of one instance or of another: there is no telling which will be asked.
    fn limits(&self) -> &Limits {
        &self.limits[self.any()]
    }

    fn attempts(&self) -> &SignInAttempts {
        &self.attempts[self.any()]
    }

    fn any(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % self.limits.len()
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
            let places = cmd("ZRANGE").arg(&key).arg(0).arg(-1).take();
            for place in client.run::<Vec<String>>(places).await.unwrap() {
                let earlier = -(by.as_millis() as i64);
                let move_it = cmd("ZINCRBY").arg(&key).arg(earlier).arg(place).take();
                client.run::<f64>(move_it).await.unwrap();
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
    several_at_once_are_taken_together_or_not_at_all,
    each_action_is_counted_for_itself,
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
        wait <= 14 * minute && wait > 13 * minute,
        "wait for {wait:?}"
    );
    assert!(
        counted.attempt("grace").await.is_ok(),
        "other users aren't kept out"
    );
    let elsewhere = Network::from(IpAddr::from([192, 0, 2, 1]));
    let attempt = counted.attempts().begin(elsewhere, "ada", counted.now);
    assert!(attempt.await.is_ok(), "nor the user at another address");
    counted.later(wait).await;
    assert!(counted.attempt("ada").await.is_ok());
}

async fn the_window_slides(mut counted: Counted) {
    let third = FAILURES.window / 3;
    for failures in [2, 2, 1] {
        for _ in 0..failures {
            counted.fail("ada").await;
        }
        counted.later(third).await;
    }
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
    assert_eq!(checked.load(Ordering::Relaxed), FAILURES.most);
    assert!(
        counted
            .attempts
            .iter()
            .all(|attempts| attempts.pending() == 0)
    );
}

async fn several_at_once_are_taken_together_or_not_at_all(mut counted: Counted) {
    let most = Action::Addition.limit().most;
    let take = async |counted: &Counted, count| {
        let limits = counted.limits();
        let taken = limits.take(Action::Addition, "ada", count, counted.now);
        taken.await.map_err(ErrorBody::from)
    };
    take(&counted, most / 2).await.unwrap();
    let window = Action::Addition.limit().window;
    counted.later(window / 2).await;
    take(&counted, most / 4).await.unwrap();
    let refused = take(&counted, most / 2).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = Duration::from_millis(refused.retry_after_ms.unwrap());
    assert!(wait <= window / 2 && wait > window / 3, "{wait:?}");
    // What was refused takes nothing, and nobody else is concerned.
    take(&counted, most / 4).await.unwrap();
    assert!(take(&counted, 1).await.is_err());
    take(&counted, 0).await.unwrap();
    let others = counted
        .limits()
        .take(Action::Addition, "bea", most, counted.now);
    others.await.unwrap();
    counted.later(wait).await;
    take(&counted, most / 2).await.unwrap();
    assert!(take(&counted, 1).await.is_err());
}

async fn each_action_is_counted_for_itself(counted: Counted) {
    for action in [Action::Guest, Action::Registration] {
        let most = action.limit().most;
        for _ in 0..most {
            let taken = counted.limits().take(action, "home", 1, counted.now);
            taken.await.unwrap();
        }
        let refused = counted.limits().take(action, "home", 1, counted.now);
        assert_eq!(refused.await.unwrap_err().code(), ErrorCode::RateLimited);
    }
    let refusals: u64 = counted.limits.iter().map(|limits| limits.refusals()).sum();
    assert_eq!(refusals, 2);
}

#[tokio::test]
async fn while_redis_is_away_each_counts_alone() {
    // A port that nobody listens on: it was somebody's a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", closed.local_addr().unwrap());
    drop(closed);
    let client = RedisClient::new(url.parse().unwrap(), Options::new("test"));
    let limits = Arc::new(Limits::redis(client, "test"));
    let attempts = SignInAttempts::new(limits.clone());
    let now = Instant::now();
    for _ in 0..FAILURES.most {
        attempts
            .begin(home(), "ada", now)
            .await
            .unwrap()
            .failed(now);
    }
    assert!(attempts.begin(home(), "ada", now).await.is_err());
    for _ in 0..GUESTS.most {
        limits.take(Action::Guest, "home", 1, now).await.unwrap();
    }
    assert!(limits.take(Action::Guest, "home", 1, now).await.is_err());
}

#[tokio::test]
async fn redis_holds_no_names_and_nothing_for_ever() {
    let counted = Counted::one_redis();
    counted.fail("ada-and-her-password").await;
    let guest = counted.limits().take(Action::Guest, "home", 1, counted.now);
    guest.await.unwrap();
    let (client, prefix) = counted.redis.as_ref().unwrap();
    let keys = cmd("KEYS").arg(format!("*{prefix}*")).take();
    let keys: Vec<String> = client.run(keys).await.unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        assert!(!key.contains("ada") && !key.contains("home"), "{key}");
        let left: i64 = client.run(cmd("PTTL").arg(&key)).await.unwrap();
        let window = FAILURES.window.max(GUESTS.window).as_millis() as i64;
        assert!(left > 0 && left <= window, "{key}: {left}");
    }
}

#[test]
fn memory_is_bounded_and_emptied() {
    let mut windows = Windows::new(GUESTS);
    let now = Instant::now();
    for key in 0..CAPACITY + 10 {
        for _ in 0..if key >= CAPACITY { GUESTS.most } else { 1 } {
            windows.count(key, now);
        }
    }
    assert_eq!(windows.sizes().1, CAPACITY);
    assert!(windows.sizes().0 <= CAPACITY);
    assert!(windows.wait(&(CAPACITY + 9), 1, now).is_some());
    windows.count(0, now + GUESTS.window);
    assert_eq!(windows.sizes(), (1, 1));
    windows.reset(&0);
    windows.count(1, now + 2 * GUESTS.window);
    assert_eq!(windows.sizes(), (1, 1));
}
