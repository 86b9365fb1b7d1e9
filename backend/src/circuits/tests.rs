//! Instances that share what they know of circuits, on a real Redis.

use std::time::Duration;

use circuit_breaker::Settings;
use gateway::InstanceId;
use redis_client::{Options, Subscriber};
use tokio::task::JoinSet;

use super::*;
use crate::{
    auth::signing_secret::SigningSecret,
    fleet::bus::{Link, Receivers},
};

const SOON: Duration = Duration::from_secs(10);

/// One instance, with its tasks.
struct Instance {
    circuits: Arc<Circuits>,
    breaker: Arc<Breaker>,
    _tasks: JoinSet<()>,
}

fn redis() -> RedisClient {
    let url = stack::address("REDIS_URL").parse().unwrap();
    RedisClient::new(url, Options::new("test"))
}

fn prefix() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}

fn settings(recovery_timeout: Duration) -> CircuitSettings {
    CircuitSettings::new(|_| Settings::new(50, recovery_timeout).minimum_calls(4))
}

impl Instance {
    /// One that hears the others.
    async fn start(prefix: &str, recovery_timeout: Duration) -> Self {
        let subscriber = Subscriber::new(
            stack::address("REDIS_URL").parse().unwrap(),
            Options::new("test bus"),
            1_000,
        );
        let secret = SigningSecret::from_bytes("a secret of at least thirty-two bytes");
        let (link, tasks) = Link::new(redis(), subscriber, &secret, InstanceId::random(), prefix);
        let bus = Arc::new(Bus::redis(link));
        let instance = Self::on(bus.clone(), prefix, recovery_timeout);
        let receivers = Receivers::new(vec![instance.circuits.clone()]);
        let mut instance = instance;
        instance._tasks.spawn(tasks.run(receivers));
        until(|| bus.link().is_some_and(Link::is_connected)).await;
        instance
    }

    /// One to which no message comes, and from which none goes out.
    fn deaf(prefix: &str, recovery_timeout: Duration) -> Self {
        Self::on(Arc::new(Bus::in_process()), prefix, recovery_timeout)
    }

    fn on(bus: Arc<Bus>, prefix: &str, recovery_timeout: Duration) -> Self {
        let circuits = Circuits::of_fleet(settings(recovery_timeout), redis(), prefix, bus);
        let circuits = Arc::new(circuits);
        let breaker = circuits.breaker(Dependency::Jwks);
        let mut tasks = JoinSet::new();
        let running = circuits.clone();
        tasks.spawn(async move { running.run().await });
        Self {
            circuits,
            breaker,
            _tasks: tasks,
        }
    }

    fn fail(&self, calls: usize) {
        for _ in 0..calls {
            if let Ok(permit) = self.breaker.acquire() {
                permit.failed();
            }
        }
    }

    async fn is(&self, state: State) {
        until(|| self.breaker.state() == state).await;
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_an_opening_and_a_closing_reach_the_other_instance() {
    let (prefix, timeout) = (prefix(), Duration::from_secs(3_600));
    let ann = Instance::start(&prefix, timeout).await;
    let ben = Instance::start(&prefix, timeout).await;
    ann.fail(4);
    assert_eq!(ann.breaker.state(), State::Open);
    ben.is(State::Open).await;
    assert!(ben.breaker.acquire().is_err());
    // Ben's probe is made due; it succeeds, and Ann's is due.
    ben.breaker.hear_of_closing();
    ben.breaker.acquire().unwrap().succeeded();
    assert_eq!(ben.breaker.state(), State::Closed);
    until(|| ann.breaker.snapshot().retry_after == Some(Duration::ZERO)).await;
    ann.breaker.acquire().unwrap().succeeded();
    assert_eq!(ann.breaker.state(), State::Closed);
    // Who starts now finds nothing open.
    let cleo = Instance::deaf(&prefix, timeout);
    until(|| true).await;
    assert!(cleo.breaker.acquire().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_who_starts_later_or_misses_the_message_learns_of_an_opening() {
    let (prefix, timeout) = (prefix(), Duration::from_secs(3_600));
    let ann = Instance::start(&prefix, timeout).await;
    let deaf = Instance::deaf(&prefix, timeout);
    ann.fail(4);
    // Redis is told in the background.
    let sharing = ann.circuits.sharing.as_ref().unwrap();
    let told = async { while sharing.opened_elsewhere(Dependency::Jwks).await.is_none() {} };
    tokio::time::timeout(SOON, told).await.expect("soon");
    Instance::deaf(&prefix, timeout).is(State::Open).await;
    // Before it would look by itself.
    deaf.circuits.interrupted(&Lost::All);
    deaf.is(State::Open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_one_whose_network_is_broken_does_not_keep_the_others_out() {
    let (prefix, timeout) = (prefix(), Duration::from_millis(50));
    let broken = Instance::start(&prefix, timeout).await;
    let busy = Instance::start(&prefix, timeout).await;
    let idle = Instance::start(&prefix, timeout).await;
    for _ in 0..4 {
        busy.breaker.acquire().unwrap().succeeded();
    }
    broken.fail(4);
    idle.is(State::Open).await;
    assert_eq!(busy.breaker.state(), State::Closed, "it has seen it work");
    // The idle one tries by itself; the other one's probes go on failing, which is its own affair.
    until(|| {
        idle.breaker
            .acquire()
            .map(|permit| permit.succeeded())
            .is_ok()
    })
    .await;
    assert_eq!(idle.breaker.state(), State::Closed);
    let opened = idle.breaker.counts().opened;
    let probes = broken.breaker.counts().half_opened;
    until(|| {
        broken.fail(1);
        broken.breaker.counts().half_opened >= probes + 3
    })
    .await;
    assert_eq!(broken.breaker.state(), State::Open);
    assert_eq!(idle.breaker.counts().opened, opened);
    assert_eq!(busy.breaker.counts().opened, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_an_administrators_decision_holds_on_all_instances_until_the_next() {
    let (prefix, timeout) = (prefix(), Duration::from_secs(3_600));
    let ann = Instance::start(&prefix, timeout).await;
    let ben = Instance::start(&prefix, timeout).await;
    let set = async |mode| ann.circuits.set("jwks", mode).await.unwrap();
    let opened = set(CircuitMode::Open).await;
    assert_eq!(
        (opened.state, opened.mode),
        (CircuitState::Open, CircuitMode::Open)
    );
    ben.is(State::Open).await;
    // One that starts later, and one that hears nothing.
    let deaf = Instance::deaf(&prefix, timeout);
    deaf.is(State::Open).await;
    set(CircuitMode::Closed).await;
    ben.is(State::Closed).await;
    ben.fail(100);
    assert_eq!(ben.breaker.state(), State::Closed);
    deaf.circuits.interrupted(&Lost::All);
    deaf.is(State::Closed).await;
    set(CircuitMode::Automatic).await;
    until(|| ben.breaker.snapshot().mode == Mode::Automatic).await;
    // The same again is a reset.
    ben.fail(100);
    ann.is(State::Open).await;
    set(CircuitMode::Automatic).await;
    ann.is(State::Closed).await;
    ben.is(State::Closed).await;
}

#[tokio::test]
async fn a_single_instance_decides_alone() {
    let circuits = Circuits::alone(CircuitSettings::default());
    let set = async |name, mode| circuits.set(name, mode).await;
    let refused = set("postgresql", CircuitMode::Open).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotFound, "it isn't in use");
    assert!(circuits.list().is_empty());
    let breaker = circuits.breaker(Dependency::Postgresql);
    set("postgresql", CircuitMode::Open).await.unwrap();
    assert!(breaker.acquire().is_err());
    let listed = circuits.list();
    assert_eq!((listed.len(), listed[0].rejected), (1, 1));
    assert_eq!(listed[0].retry_after_ms, None);
    set("postgresql", CircuitMode::Automatic).await.unwrap();
    assert!(breaker.acquire().is_ok());
    assert!(set("nothing", CircuitMode::Open).await.is_err());
}
