//! One Redis.

use std::sync::LazyLock;
use std::time::Duration;

use redis_client::{Cmd, Command, Interrupted, Received, RedisError, Script, Value, cmd};
use tokio::task::JoinSet;

use crate::ledger::Ledger;
use crate::servers::{PATIENCE, Servers, until, until_ok};

static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1]) + tonumber(ARGV[2])")
});

const URL: &str = "REDIS_SINGLE_URL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands() {
    let servers = Servers::start(&["redis"]);
    let client = servers.client(URL);

    // Before it is connected: it waits for the first try.
    client
        .run::<()>(cmd("SET").arg("a").arg("1"))
        .await
        .unwrap();
    assert_eq!(
        client.run::<Option<u64>>(cmd("GET").arg("a")).await,
        Ok(Some(1))
    );
    assert_eq!(
        client.run::<Option<u64>>(cmd("GET").arg("none")).await,
        Ok(None)
    );
    assert!(client.is_connected());
    assert!(client.ping().await.unwrap() > Duration::ZERO);
    let facts = client.server_facts().await.unwrap();
    assert!(
        facts.major >= 7 && facts.version.starts_with(&facts.major.to_string()),
        "{facts:?}"
    );
    assert_eq!(
        (facts.maxmemory_policy.as_deref(), facts.cluster),
        (Some("noeviction"), false)
    );

    let wrong_type = client.run::<u64>(cmd("INCR").arg("list")).await;
    assert_eq!(wrong_type, Ok(1));
    let refused = client
        .run::<Value>(cmd("LPUSH").arg("a").arg("x"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, RedisError::Refused { code, .. } if code == "WRONGTYPE"),
        "{refused}"
    );
    assert!(matches!(
        client.run::<u64>(cmd("PING")).await,
        Err(RedisError::Unexpected(_))
    ));

    // A script that the server hasn't got, and again after it was forgotten.
    assert_eq!(
        client.script::<i64>(&ADD, &["sum"], (5, 100)).await,
        Ok(105)
    );
    client.run::<()>(cmd("SCRIPT").arg("FLUSH")).await.unwrap();
    assert_eq!(client.script::<i64>(&ADD, &["sum"], (1, 0)).await, Ok(6));
    client.run::<()>(cmd("SCRIPT").arg("FLUSH")).await.unwrap();

    // Many at once: each has a result of its own.
    let mut commands: Vec<Command> = (0..500)
        .map(|index| ADD.call(&[format!("n:{index}")], (index, 1)))
        .collect();
    commands[7] = cmd("LPUSH").arg("a").arg("x").take().into();
    let results = client.run_all::<i64>(commands).await;
    for (index, result) in results.iter().enumerate() {
        match index {
            7 => assert!(matches!(result, Err(RedisError::Refused { .. }))),
            _ => assert_eq!(*result, Ok(index as i64 + 1)),
        }
    }
    assert!(client.run_all::<i64>(Vec::new()).await.is_empty());

    // Answers larger than any buffer, among small ones, all at once.
    let large = vec![7_u8; 5_000_000];
    client
        .run::<()>(cmd("SET").arg("large").arg(&large))
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    for index in 0..2_000_u32 {
        let client = client.clone();
        tasks.spawn(async move {
            let key = format!("key:{index}");
            client
                .run::<()>(cmd("SET").arg(&key).arg(index))
                .await
                .unwrap();
            assert_eq!(client.run::<u32>(cmd("GET").arg(&key)).await, Ok(index));
        });
        if index % 500 == 0 {
            let client = servers.client(URL);
            let expected = large.len();
            tasks.spawn(async move {
                assert_eq!(
                    client
                        .run::<Vec<u8>>(cmd("GET").arg("large"))
                        .await
                        .unwrap()
                        .len(),
                    expected
                );
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    // What a command says in logs has no argument in it.
    assert_eq!(
        format!(
            "{:?}",
            Command::from(Cmd::new().arg("SET").arg("secret").take())
        ),
        r#"Command("SET")"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_one_that_hangs() {
    let servers = Servers::start(&["redis"]);
    let ledger = Ledger::start(&servers, URL, vec!["a".to_owned(), "b".to_owned()]).await;
    ledger.flows().await;

    // Killed: commands fail, none waits for longer than the time-outs.
    servers.signal("redis/alone", "KILL");
    let mut failures = Vec::new();
    until("commands fail", async || {
        match tokio::time::timeout(PATIENCE, ledger.client.ping())
            .await
            .unwrap()
        {
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
        failures
            .iter()
            .any(|error| matches!(error, RedisError::Unavailable(_)))
    })
    .await;
    assert!(
        failures.iter().all(RedisError::is_temporary),
        "{failures:?}"
    );
    until("it is known", async || {
        !ledger.client.is_connected() && !ledger.subscriber.is_connected()
    })
    .await;
    let subscribed = ledger.subscriber.subscribe("c").await;
    assert!(
        matches!(subscribed, Err(RedisError::Unavailable(_))),
        "{subscribed:?}"
    );
    servers.up();
    ledger.flows().await;
    // What couldn't be subscribed is all the same, and told.
    let expected = ["a", "b", "c"].map(str::to_owned).into();
    until("interruptions are told", async || {
        ledger.interrupted() == expected
    })
    .await;
    assert!(ledger.client.is_connected() && ledger.subscriber.is_connected());
    assert!(
        ledger.client.stats().disconnects() >= 1 && ledger.subscriber.stats().resubscribed() >= 3
    );

    // Paused: the command on its way is told as unanswered, those after it as unavailable.
    servers.signal("redis/alone", "STOP");
    let counter = cmd("INCR").arg("counter").take();
    let error = ledger.client.run::<u64>(counter.clone()).await.unwrap_err();
    assert!(matches!(error, RedisError::Unanswered(_)), "{error}");
    until("commands fail at once", async || {
        matches!(
            ledger.client.run::<u64>(counter.clone()).await,
            Err(RedisError::Unavailable(_))
        )
    })
    .await;
    servers.signal("redis/alone", "CONT");
    ledger.flows().await;
    let value = until_ok("commands work", async || {
        ledger.client.run::<u64>(counter.clone()).await
    })
    .await;
    assert!(value >= 1);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions() {
    let servers = Servers::start(&["redis"]);
    let client = servers.client(URL);
    let (subscriber, mut incoming) = servers.subscriber(URL, 100);
    let message = |channel: &str, payload: &'static [u8]| Received::Message {
        channel: channel.into(),
        payload: payload.into(),
    };

    subscriber.subscribe("a").await.unwrap();
    subscriber.subscribe("a").await.unwrap();
    subscriber.subscribe_pattern("socket.io#/#*").await.unwrap();
    assert_eq!(client.publish_sharded("a", b"1").await, Ok(1));
    assert_eq!(client.publish_sharded("b", b"2").await, Ok(0));
    assert_eq!(incoming.recv().await, Some(message("a", b"1")));
    assert_eq!(
        client
            .run::<u64>(cmd("PUBLISH").arg("socket.io#/#room#").arg("3"))
            .await,
        Ok(1)
    );
    let Some(Received::PatternMessage {
        pattern,
        channel,
        payload,
    }) = incoming.recv().await
    else {
        panic!("no message of the pattern");
    };
    assert_eq!(
        (&*pattern, &channel[..], &payload[..]),
        ("socket.io#/#*", &b"socket.io#/#room#"[..], &b"3"[..])
    );

    // Taken back and wanted again, with nobody waiting in between.
    for _ in 0..50 {
        subscriber.unsubscribe("a");
        subscriber.subscribe("a").await.unwrap();
        assert_eq!(client.publish_sharded("a", b"4").await, Ok(1));
        assert_eq!(incoming.recv().await, Some(message("a", b"4")));
    }
    subscriber.unsubscribe("a");
    until("unsubscribed", async || {
        client.publish_sharded("a", b"").await == Ok(0)
    })
    .await;
    subscriber.unsubscribe_pattern("socket.io#/#*");
    until("unsubscribed", async || {
        client
            .run::<u64>(cmd("PUBLISH").arg("socket.io#/#room#").arg(""))
            .await
            == Ok(0)
    })
    .await;

    // A flood: what doesn't fit the queue is dropped and told, behind what waited.
    subscriber.subscribe("a").await.unwrap();
    client.publish_sharded("a", b"begin").await.unwrap();
    while incoming.recv().await != Some(message("a", b"begin")) {}
    let flood: Vec<Command> = (0..10_000)
        .map(|_| cmd("SPUBLISH").arg("a").arg("x").take().into())
        .collect();
    assert!(
        client
            .run_all::<u64>(flood)
            .await
            .iter()
            .all(|receivers| *receivers == Ok(1))
    );
    until("all has come", async || {
        subscriber.stats().dropped() == 9_900
    })
    .await;
    let mut batch = Vec::new();
    while batch.len() < 101 {
        assert!(incoming.recv_many(&mut batch, 1_000).await > 0);
    }
    assert!(
        batch[..100]
            .iter()
            .all(|received| *received == message("a", b"x"))
    );
    assert_eq!(
        batch[100..],
        [Received::Interrupted(Interrupted::Channels(vec![
            "a".into()
        ]))]
    );
    client.publish_sharded("a", b"5").await.unwrap();
    assert_eq!(incoming.recv().await, Some(message("a", b"5")));
    drop(subscriber);
    assert_eq!(incoming.recv().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscriptions_survive_a_disconnect() {
    const CHANNELS: usize = 20_000;
    let servers = Servers::start(&["redis"]);
    let (subscriber, mut incoming) = servers.subscriber(URL, 100);
    let subscriber = std::sync::Arc::new(subscriber);
    let mut tasks = JoinSet::new();
    for index in 0..CHANNELS {
        let subscriber = std::sync::Arc::clone(&subscriber);
        tasks.spawn(async move { subscriber.subscribe(&format!("c:{index}")).await });
    }
    while let Some(subscribed) = tasks.join_next().await {
        subscribed.unwrap().unwrap();
    }
    subscriber.subscribe_pattern("p*").await.unwrap();
    assert_eq!(
        servers.redis_cli(servers.port(20), &["client", "kill", "type", "pubsub"]),
        "1"
    );
    let mut interrupted = std::collections::HashSet::new();
    while interrupted.len() < CHANNELS + 1 {
        match tokio::time::timeout(PATIENCE, incoming.recv())
            .await
            .unwrap()
        {
            Some(Received::Interrupted(Interrupted::Channels(channels))) => {
                interrupted.extend(channels)
            }
            other => panic!("{other:?}"),
        }
    }
    let client = servers.client(URL);
    assert_eq!(client.publish_sharded("c:19999", b"x").await, Ok(1));
    assert!(matches!(
        incoming.recv().await,
        Some(Received::Message { .. })
    ));
}
