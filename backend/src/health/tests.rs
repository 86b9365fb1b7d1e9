//! Checks in time that only passes when everybody waits.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::circuits::CircuitSettings;

/// A dependency whose answers a test decides.
#[derive(Clone)]
struct Answers {
    /// After how long, and what.
    next: Arc<Mutex<(Duration, bool)>>,
    asked: Arc<AtomicUsize>,
}

impl Answers {
    fn new() -> Self {
        Self {
            next: Arc::new(Mutex::new((Duration::ZERO, true))),
            asked: Arc::default(),
        }
    }

    fn set(&self, after: Duration, good: bool) {
        *self.next.lock() = (after, good);
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn check(&self, name: &'static str) -> Arc<Check> {
        let answers = self.clone();
        let ask = move || {
            answers.asked.fetch_add(1, SeqCst);
            let (after, good) = *answers.next.lock();
            let answer = async move {
                sleep(after).await;
                good
            };
            Box::pin(answer) as futures_util::future::BoxFuture<'static, bool>
        };
        Check::new(name, Dependency::Test(Arc::new(ask)), REMOTE)
    }
}

fn health(checks: Vec<Arc<Check>>) -> Health {
    Health {
        started: std::time::Instant::now(),
        startup: Arc::default(),
        draining: AtomicBool::new(false),
        redis: Vec::new(),
        circuits: Arc::new(Circuits::alone(CircuitSettings::default())),
        checks,
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

async fn status_of(health: &Health, name: &str) -> HealthStatus {
    health.ready().await.checks[name].status
}

#[tokio::test(start_paused = true)]
async fn success_is_cached_and_failure_is_looked_at_again() {
    let answers = Answers::new();
    let health = health(vec![answers.check("sql")]);
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Ok);
    answers.set(Duration::ZERO, false);
    advance(Duration::from_secs(29)).await;
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Ok);
    assert_eq!(answers.asked(), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Degraded);
    // Each request after the failure asks, but not more often than ten times a second.
    answers.set(Duration::ZERO, true);
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Degraded);
    assert_eq!(answers.asked(), 2);
    advance(Duration::from_millis(100)).await;
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Ok);
    assert_eq!(answers.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_hangs_and_the_others_are_told_as_they_are() {
    let (hangs, works) = (Answers::new(), Answers::new());
    let health = health(vec![hangs.check("sql"), works.check("redis")]);
    assert_eq!(health.ready().await.status, HealthStatus::Ok);
    hangs.set(HOUR, true);
    works.set(Duration::ZERO, false);
    advance(Duration::from_secs(30)).await;
    let mut waited = Duration::ZERO;
    for _ in 0..1_000 {
        let asked = Instant::now();
        let report = health.ready().await;
        waited += asked.elapsed();
        assert_eq!(report.checks["redis"].status, HealthStatus::Degraded);
        sleep(Duration::from_millis(5)).await;
    }
    // Only for the beginning of each check, of which there are three in the meantime.
    assert!(waited <= Duration::from_millis(200), "{waited:?}");
    // It is told once its time is over, and only one check hangs at a time.
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Degraded);
    assert!(hangs.asked() <= 5, "{}", hangs.asked());
    hangs.set(Duration::ZERO, true);
    sleep(check::TIMEOUT * 2).await;
    assert_eq!(status_of(&health, "sql").await, HealthStatus::Ok);
}

#[tokio::test(start_paused = true)]
async fn the_first_outcome_is_waited_for_and_a_crowd_costs_one_check() {
    let answers = Answers::new();
    answers.set(Duration::from_secs(1), true);
    let health = health(vec![answers.check("sql")]);
    let crowd = join_all((0..1_000).map(|_| health.ready())).await;
    assert!(crowd.iter().all(|report| report.status == HealthStatus::Ok));
    assert_eq!(answers.asked(), 1);
}

#[tokio::test]
async fn what_users_of_a_dependency_met_outdates_its_success() {
    let directory = tempfile::tempdir().unwrap();
    let store = MessageStore::open(directory.path()).await.unwrap();
    let health = Health::new(
        store.clone(),
        Arc::default(),
        Vec::new(),
        None,
        Arc::new(Circuits::alone(CircuitSettings::default())),
    );
    assert_eq!(status_of(&health, "store").await, HealthStatus::Ok);
    store.close().await;
    // Closed as it is, the store counts what was asked of it.
    assert!(store.user(&protocol::UserId::trusted("u")).await.is_err());
    let failing = async {
        while status_of(&health, "store").await != HealthStatus::Unavailable {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_millis(900), failing)
        .await
        .expect("before a second is over, for which success is cached");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_and_a_circuit_that_is_open_are_told_and_live_depends_on_neither() {
    let answers = Answers::new();
    let health = health(vec![answers.check("sql")]);
    let breaker = health.circuits.breaker(crate::circuits::Dependency::Jwks);
    assert_eq!(health.ready().await.status, HealthStatus::Ok);
    breaker.reset(circuit_breaker::Mode::Open);
    let report = health.ready().await;
    assert_eq!(
        (report.status, report.checks["jwks"].status),
        (HealthStatus::Degraded, HealthStatus::Degraded)
    );
    breaker.reset(circuit_breaker::Mode::Automatic);
    while breaker.state() == State::Closed {
        breaker.acquire().unwrap().failed();
    }
    breaker.hear_of_closing();
    let probe = breaker.acquire().unwrap();
    let report = health.ready().await;
    let message = report.checks["jwks"].message.as_deref();
    assert_eq!(message, Some("the circuit breaker is half-open"));
    probe.succeeded();
    assert_eq!(health.ready().await.status, HealthStatus::Ok);
    health.drain();
    assert_eq!(health.ready().await.status, HealthStatus::Unavailable);
    assert_eq!(health.live().status, HealthStatus::Ok);
}
