//! One contract for the cache of a single instance and for those of a fleet on a real Redis.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::join_all;
use gateway::InstanceId;
use parking_lot::Mutex;
use protocol::{Role, User, UserId};
use redis_client::{Options, Subscriber, cmd};
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;
use crate::{
    auth::signing_secret::SigningSecret,
    fleet::bus::{Link, Receivers},
};

const SOON: Duration = Duration::from_secs(10);

/// Where values are read from when they aren't cached.
#[derive(Clone, Default)]
struct Store {
    users: Arc<Mutex<HashMap<String, User>>>,
    loads: Arc<AtomicUsize>,
    /// Reads go on only while there are permits, if there are to be any.
    gate: Option<Arc<Semaphore>>,
    away: bool,
}

fn user(id: &str, name: &str) -> User {
    User {
        id: UserId::trusted(id),
        username: id.to_owned(),
        display_name: name.to_owned(),
        avatar_url: None,
        guest: false,
        role: Role::User,
        email: None,
    }
}

impl Store {
    fn set(&self, id: &str, name: &str) {
        self.users.lock().insert(id.to_owned(), user(id, name));
    }

    async fn read(&self, id: &str) -> Result<Option<User>, StoreError> {
        self.loads.fetch_add(1, SeqCst);
        let found = self.users.lock().get(id).cloned();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if self.away {
            return Err(StoreError::NotFound);
        }
        Ok(found)
    }

    fn loads(&self) -> usize {
        self.loads.load(SeqCst)
    }

    /// This one, with a gate that is shut.
    fn gated(&self) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let gated = Self {
            gate: Some(gate.clone()),
            ..self.clone()
        };
        (gated, gate)
    }
}

/// The caches of all instances, over one store.
struct Fixture {
    store: Store,
    caches: Vec<Arc<Cache>>,
    prefix: String,
    tasks: JoinSet<()>,
}

impl Fixture {
    async fn alone() -> Self {
        let cache = Cache::alone(Hub::new(Some(1)), Arc::new(Bus::in_process()));
        let mut fixture = Self::of(vec![Arc::new(cache)], String::new());
        let cache = fixture.caches[0].clone();
        fixture.tasks.spawn(async move { cache.run().await });
        fixture
    }

    async fn fleet() -> Self {
        let prefix = format!("test-{:016x}", rand::random::<u64>());
        let mut fixture = Self::of(Vec::new(), prefix);
        for _ in 0..2 {
            let subscriber = Subscriber::new(
                stack::address("REDIS_URL").parse().unwrap(),
                Options::new("test bus"),
                1_000,
            );
            let secret = SigningSecret::from_bytes("a secret of at least thirty-two bytes");
            let id = InstanceId::random();
            let (link, tasks) = Link::new(redis(), subscriber, &secret, id, &fixture.prefix);
            let bus = Arc::new(Bus::redis(link));
            let cache = fixture.deaf(bus.clone());
            let receivers = Receivers::new(vec![cache.clone()]);
            fixture.tasks.spawn(tasks.run(receivers));
            until(async || bus.link().is_some_and(Link::is_connected)).await;
            let running = cache.clone();
            fixture.tasks.spawn(async move { running.run().await });
            fixture.caches.push(cache);
        }
        fixture
    }

    fn of(caches: Vec<Arc<Cache>>, prefix: String) -> Self {
        Self {
            store: Store::default(),
            caches,
            prefix,
            tasks: JoinSet::new(),
        }
    }

    /// One that nobody tells anything; of a fleet.
    fn deaf(&self, bus: Arc<Bus>) -> Arc<Cache> {
        let hub = Hub::new(Some(1));
        Arc::new(Cache::of_fleet(redis(), &self.prefix, hub, bus))
    }

    fn first(&self) -> &Arc<Cache> {
        &self.caches[0]
    }

    fn last(&self) -> &Arc<Cache> {
        &self.caches[self.caches.len() - 1]
    }
}

fn redis() -> RedisClient {
    let url = stack::address("REDIS_URL").parse().unwrap();
    RedisClient::new(url, Options::new("test"))
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("soon");
}

async fn name(cache: &Cache, store: &Store, id: &str) -> Option<String> {
    let read = cache.get::<User, _>(id, || store.read(id)).await;
    read.unwrap().map(|user| user.display_name.clone())
}

fn told(name: &str) -> Option<String> {
    Some(name.to_owned())
}

macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod alone {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Fixture::alone().await).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Fixture::fleet().await).await;
            })*
        }
    };
}

on_each!(
    a_value_is_read_once,
    what_only_its_owner_may_see_stays_in_memory,
    a_crowd_costs_one_read,
    an_invalidation_is_seen_at_once_here_and_soon_elsewhere,
    an_invalidation_wins_over_a_read_under_way,
    who_goes_away_while_reading_leaves_it_to_the_next,
    absence_is_kept_and_failure_is_not,
    what_is_too_large_is_read_each_time,
);

async fn a_value_is_read_once(fixture: Fixture) {
    let store = &fixture.store;
    store.set("a", "Ann");
    for cache in fixture.caches.iter().cycle().take(10) {
        assert_eq!(name(cache, store, "a").await, told("Ann"));
    }
    assert_eq!(store.loads(), 1);
    let stats: Vec<_> = fixture.caches.iter().map(|cache| cache.stats()).collect();
    let sum = |of: fn(&CacheStats) -> u64| stats.iter().map(of).sum::<u64>();
    assert_eq!(sum(|stats| stats.misses), 1);
    assert_eq!(sum(|stats| stats.shared_hits), stats.len() as u64 - 1);
    assert_eq!(sum(|stats| stats.memory_hits), 10 - stats.len() as u64);
}

async fn what_only_its_owner_may_see_stays_in_memory(fixture: Fixture) {
    let store = &fixture.store;
    let email = Some("ann@example.org".to_owned());
    let ann = User {
        email: email.clone(),
        ..user("a", "Ann")
    };
    store.users.lock().insert("a".to_owned(), ann);
    for cache in fixture.caches.iter().cycle().take(10) {
        let read = cache.get::<User, _>("a", || store.read("a")).await;
        assert_eq!(read.unwrap().unwrap().email, email);
    }
    assert_eq!(store.loads(), fixture.caches.len());
    for cache in &fixture.caches {
        assert!(value_in_redis(cache, "a").await.is_none());
    }
}

/// What Redis has of a user.
async fn value_in_redis(cache: &Cache, id: &str) -> Option<Vec<u8>> {
    let shared = cache.shared.as_ref()?;
    let get = cmd("GET").arg(shared.key(&Kind::User.key(id))).take();
    redis().run(get).await.unwrap()
}

async fn a_crowd_costs_one_read(fixture: Fixture) {
    fixture.store.set("a", "Ann");
    let (store, gate) = fixture.store.gated();
    let cache = fixture.first();
    let crowd = join_all((0..500).map(|_| name(cache, &store, "a")));
    let opened = async {
        until(async || store.loads() > 0).await;
        gate.add_permits(1);
    };
    let (names, ()) = tokio::join!(crowd, opened);
    assert!(names.iter().all(|name| *name == told("Ann")));
    assert_eq!(store.loads(), 1);
}

async fn an_invalidation_is_seen_at_once_here_and_soon_elsewhere(fixture: Fixture) {
    let store = &fixture.store;
    store.set("a", "0");
    for n in 1..50 {
        for cache in &fixture.caches {
            name(cache, store, "a").await;
        }
        let new = n.to_string();
        store.set("a", &new);
        let (here, there) = match n % 2 {
            0 => (fixture.first(), fixture.last()),
            _ => (fixture.last(), fixture.first()),
        };
        here.invalidate(Kind::User, "a", Audience::Instances);
        assert_eq!(name(here, store, "a").await, told(&new));
        until(async || name(there, store, "a").await == told(&new)).await;
        assert_eq!(name(here, store, "a").await, told(&new));
    }
}

async fn an_invalidation_wins_over_a_read_under_way(fixture: Fixture) {
    for (id, changed_at) in [("a", fixture.first()), ("b", fixture.last())] {
        let reading_at = fixture.first();
        let store = &fixture.store;
        store.set(id, "old");
        let (slow, gate) = store.gated();
        let loads = store.loads();
        let reading = name(reading_at, &slow, id);
        let change = async {
            until(async || store.loads() > loads).await;
            store.set(id, "new");
            changed_at.invalidate(Kind::User, id, Audience::Instances);
            until(async || changed_at.stats().pending == 0).await;
            gate.add_permits(10);
        };
        let (read, ()) = tokio::join!(reading, change);
        if Arc::ptr_eq(reading_at, changed_at) {
            assert_eq!(read, told("new"), "it was read again");
        }
        // Whoever asks afterwards never sees the old one for long, and Redis doesn't have it.
        until(async || name(reading_at, store, id).await == told("new")).await;
        assert_eq!(name(changed_at, store, id).await, told("new"));
        if changed_at.shared.is_some() {
            let newcomer = fixture.deaf(Arc::new(Bus::in_process()));
            assert_eq!(name(&newcomer, store, id).await, told("new"));
        }
    }
}

async fn who_goes_away_while_reading_leaves_it_to_the_next(fixture: Fixture) {
    fixture.store.set("a", "Ann");
    let (hangs, _gate) = fixture.store.gated();
    let cache = fixture.first();
    let gone = name(cache, &hangs, "a");
    let waits = name(cache, &fixture.store, "a");
    let both = async {
        let mut waits = std::pin::pin!(waits);
        tokio::select! {
            biased;
            _ = gone => unreachable!("its read hangs"),
            _ = &mut waits => unreachable!("it waits for the first one"),
            () = until(async || hangs.loads() > 0) => {}
        }
        waits.await
    };
    assert_eq!(both.await, told("Ann"));
}

async fn absence_is_kept_and_failure_is_not(fixture: Fixture) {
    let store = &fixture.store;
    for _ in 0..3 {
        assert_eq!(name(fixture.first(), store, "x").await, None);
    }
    assert_eq!(store.loads(), 1);
    // It isn't shared, and comes to be where it is invalidated.
    store.set("x", "Xi");
    fixture
        .first()
        .invalidate(Kind::User, "x", Audience::Instances);
    assert_eq!(name(fixture.first(), store, "x").await, told("Xi"));
    let away = Store {
        away: true,
        ..store.clone()
    };
    for _ in 0..2 {
        let read = fixture.last().get::<User, _>("y", || away.read("y"));
        assert!(read.await.is_err());
    }
    assert_eq!(fixture.last().stats().loads_failed, 2);
    store.set("y", "Yu");
    assert_eq!(name(fixture.last(), store, "y").await, told("Yu"));
}

async fn what_is_too_large_is_read_each_time(fixture: Fixture) {
    let store = &fixture.store;
    store.set("a", &"x".repeat(LARGEST));
    for read in 1..=3 {
        let length = name(fixture.first(), store, "a")
            .await
            .map(|name| name.len());
        assert_eq!((length, store.loads()), (Some(LARGEST), read));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_away_is_a_miss() {
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("redis://{}", nobody.local_addr().unwrap());
    let redis = RedisClient::new(url.parse().unwrap(), Options::new("test"));
    let bus = Arc::new(Bus::in_process());
    let cache = Arc::new(Cache::of_fleet(redis, "test", Hub::new(Some(1)), bus));
    let running = cache.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { running.run().await });
    let store = Store::default();
    store.set("a", "Ann");
    assert_eq!(name(&cache, &store, "a").await, told("Ann"));
    assert_eq!(name(&cache, &store, "a").await, told("Ann"));
    assert_eq!(store.loads(), 1, "memory goes on");
    store.set("a", "Anna");
    cache.invalidate(Kind::User, "a", Audience::Instances);
    assert_eq!(name(&cache, &store, "a").await, told("Anna"));
    let errors = cache.stats().shared_errors;
    assert!(errors > 0);
    // It is told again and again.
    until(async || cache.stats().shared_errors > errors + 1).await;
    assert_eq!(cache.stats().pending, 1);
    // All that wait have their turn.
    let many = 2 * BATCH + 1;
    for id in 1..many {
        cache.invalidate(Kind::User, &id.to_string(), Audience::Instances);
    }
    until(async || cache.pending.all().iter().all(|(_, pending)| pending.told)).await;
    tasks.shutdown().await;
    // Nor does it keep the server from stopping.
    cache.flush(Duration::from_millis(20)).await;
    assert_eq!(cache.stats().pending, many as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_told_at_the_end_of_what_still_waits() {
    let fixture = Fixture::fleet().await;
    let store = &fixture.store;
    store.set("a", "Ann");
    name(fixture.first(), store, "a").await;
    // Its task has ended.
    let ending = fixture.deaf(Arc::new(Bus::in_process()));
    store.set("a", "Anna");
    ending.invalidate(Kind::User, "a", Audience::Instances);
    assert!(value_in_redis(&ending, "a").await.is_some());
    ending.flush(SOON).await;
    assert_eq!(ending.stats().pending, 0);
    assert!(value_in_redis(&ending, "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_lost_an_invalidation_with_a_server_is_told_again() {
    let fixture = Fixture::fleet().await;
    let (store, cache) = (&fixture.store, fixture.first());
    let shared = cache.shared.as_ref().unwrap();
    store.set("a", "Anna");
    cache.invalidate(Kind::User, "a", Audience::Instances);
    until(async || cache.stats().pending == 0).await;
    // As a replica that takes over before it has heard of the invalidation has it.
    let old = serde_json::to_string(&user("a", "Ann")).unwrap();
    let set = cmd("SET")
        .arg(shared.key(&Kind::User.key("a")))
        .arg(format!("={old}"))
        .take();
    redis().run::<()>(set).await.unwrap();
    // The connection to the one that had heard of it is lost.
    assert_eq!(cache.pending.recall(shared.losses() + 1).len(), 1);
    // Whatever memory had.
    cache.versions.raise_all();
    assert_eq!(name(cache, store, "a").await, told("Anna"));
    until(async || {
        let newcomer = fixture.deaf(Arc::new(Bus::in_process()));
        name(&newcomer, store, "a").await == told("Anna")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_gets_the_lease_back_of_who_goes_away_while_reading() {
    let fixture = Fixture::fleet().await;
    fixture.store.set("a", "Ann");
    let (hangs, _gate) = fixture.store.gated();
    let cache = fixture.first();
    tokio::select! {
        _ = name(cache, &hangs, "a") => unreachable!("its read hangs"),
        () = until(async || hangs.loads() > 0) => {}
    }
    let given_back = until(async || value_in_redis(cache, "a").await.is_none());
    let before_it_expires = tokio::time::timeout(Duration::from_secs(3), given_back);
    before_it_expires.await.expect("given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_who_missed_an_invalidation_forgets_everything_once_that_is_known() {
    let fixture = Fixture::fleet().await;
    let deaf = fixture.deaf(Arc::new(Bus::in_process()));
    let store = &fixture.store;
    store.set("a", "Ann");
    name(&deaf, store, "a").await;
    store.set("a", "Anna");
    fixture
        .first()
        .invalidate(Kind::User, "a", Audience::Instances);
    until(async || fixture.first().stats().pending == 0).await;
    assert_eq!(name(&deaf, store, "a").await, told("Ann"));
    deaf.interrupted(&Lost::All);
    assert_eq!(name(&deaf, store, "a").await, told("Anna"));
}

#[tokio::test]
async fn memory_is_bounded_in_bytes() {
    let memory = Memory::with_capacity(100_000);
    let versions = Versions::new();
    for n in 0..2_000 {
        let key = Kind::User.key(&n.to_string());
        let fill = async {
            Ok::<_, StoreError>(Entry {
                value: Some(Arc::new(user("a", "Ann"))),
                stamp: versions.stamp(&key),
                bytes: 200,
                life: Duration::from_secs(60),
            })
        };
        memory.get_or(&key, fill).await.unwrap();
    }
    memory.run_upkeep().await;
    assert!(memory.bytes() <= 100_000 && memory.entries() > 100);
    assert!(memory.evicted() > 0);
}

#[test]
fn an_invalidation_crosses_the_bus_unchanged() {
    for audience in [Audience::Instances, Audience::Clients] {
        let sent = Invalidation {
            key: "user:a".to_owned(),
            audience,
        };
        let read = bus::round_trip(&sent, |_, mut fields| Invalidation::read(&mut fields));
        assert_eq!(read, sent);
    }
}
