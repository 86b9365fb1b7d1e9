//! A Redis Cluster.

use std::collections::HashSet;

use redis_client::{Command, PARTITIONS, RedisClient, RedisError, RedisUrl, cmd, slot, tag};

use crate::ledger::Ledger;
use crate::servers::{Member, Servers, until, until_ok};

const URL: &str = "REDIS_URL";

/// A channel of every eighth partition: of all masters.
fn channels() -> Vec<String> {
    (0..PARTITIONS)
        .step_by(8)
        .map(|partition| format!("{{{}}}:x", tag(partition)))
        .collect()
}

/// Who has the slot, and another master.
async fn owner_and_other(servers: &Servers, slot: u16) -> (Member, Member) {
    let mut found = None;
    until("one master has the slot", async || {
        let (owners, others): (Vec<Member>, Vec<Member>) = servers
            .masters(slot)
            .into_iter()
            .partition(|member| member.has_slot);
        let one = owners.len() == 1 && !others.is_empty();
        found = owners.into_iter().zip(others).next();
        one
    })
    .await;
    found.unwrap()
}

/// What a counter may stand at: exactly one number, unless an increment had no answer.
#[derive(Clone, Default)]
struct Count {
    least: u64,
    most: u64,
}

impl Count {
    fn incremented(&mut self, value: Result<u64, RedisError>, client: &RedisClient) {
        match value {
            Ok(value) => {
                assert!((self.least + 1..=self.most + 1).contains(&value));
                (self.least, self.most) = (value, value);
            }
            Err(error) => {
                a_connection_was_lost(client, &error);
                self.most += u64::from(matches!(error, RedisError::Unanswered(_)));
            }
        }
    }

    fn is(&self, value: u64) {
        assert!((self.least..=self.most).contains(&value));
    }
}

/// A server may be so short of time that it is given up; nothing else makes a command fail.
fn a_connection_was_lost(client: &RedisClient, error: &RedisError) {
    assert!(
        error.is_temporary() && client.stats().disconnects() > 0,
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_follow_their_slot() {
    let servers = Servers::start(&["redis-cluster"]);
    servers.keep_masters();
    // One node's address is enough.
    let url: RedisUrl = format!("redis://127.0.0.1:{}", servers.port(4))
        .parse()
        .unwrap();
    let client = RedisClient::new(url, servers.options());
    until("connected", async || client.is_connected()).await;
    assert!(client.server_facts().await.unwrap().cluster);
    assert_eq!(
        client
            .run_on_masters::<String>(cmd("PING"))
            .await
            .unwrap()
            .len(),
        3
    );

    let keys: Vec<String> = (0..PARTITIONS)
        .map(|partition| format!("{{{}}}:n", tag(partition)))
        .collect();
    let set = |key: &String| Command::from(cmd("SET").arg(key).arg(key).take());
    // A Cluster that has just come up may call itself down once more.
    until("the Cluster takes commands", async || {
        let results = client.run_all::<()>(keys.iter().map(set).collect()).await;
        results.iter().all(Result::is_ok)
    })
    .await;
    let get = |key: &String| Command::from(cmd("GET").arg(key).take());
    let values = client
        .run_all::<String>(keys.iter().map(get).collect())
        .await;
    assert!(
        values
            .iter()
            .zip(&keys)
            .all(|(value, key)| value.as_ref() == Ok(key))
    );

    // A slot moves while commands go on: none fails whose connection holds, and none is run twice.
    let counters: Vec<String> = (0..20).map(|index| format!("{{moving}}:{index}")).collect();
    let slot = slot(b"moving");
    let (from, to) = owner_and_other(&servers, slot).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let counting = tokio::spawn({
        let (client, counters, stop) = (client.clone(), counters.clone(), stop.clone());
        async move {
            let mut counts = vec![Count::default(); counters.len()];
            let mut rounds = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let increments = counters
                    .iter()
                    .map(|key| cmd("INCR").arg(key).take().into())
                    .collect();
                rounds += 1;
                for (value, count) in client
                    .run_all(increments)
                    .await
                    .into_iter()
                    .zip(&mut counts)
                {
                    count.incremented(value, &client);
                }
                // Keys that lie on both sides for a while.
                let both = cmd("MGET").arg(&counters[0]).arg(&counters[19]).take();
                match client.run::<(u64, u64)>(both).await {
                    Ok((first, last)) => {
                        counts[0].is(first);
                        counts[19].is(last);
                    }
                    Err(error) => a_connection_was_lost(&client, &error),
                }
            }
            assert!(rounds > 0);
            counts
        }
    });
    let moved = client.stats().moved();
    servers.move_slot(slot, &from, &to, || {
        // Half of the keys are there already, and one that nobody has had yet is asked for.
        let port = to.port.to_string();
        for key in &counters[..10] {
            servers.redis_cli(
                from.port,
                &["migrate", "127.0.0.1", &port, key, "0", "5000"],
            );
        }
    });
    // What is wrong with the counting is said when it is waited for.
    until("somebody was sent elsewhere", async || {
        client.stats().moved() > moved || counting.is_finished()
    })
    .await;
    assert_eq!(
        client
            .run::<Option<String>>(cmd("GET").arg("{moving}:none"))
            .await,
        Ok(None)
    );
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let counts = counting.await.unwrap();
    for (key, count) in counters.iter().zip(counts) {
        count.is(until_ok(key, async || client.run::<u64>(cmd("GET").arg(key)).await).await);
    }
    // Keys of several slots are the caller's mistake.
    let across = client
        .run::<Vec<Option<String>>>(cmd("MGET").arg("a").arg("b"))
        .await;
    assert!(across.unwrap_err().to_string().contains("CROSSSLOT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_follow_a_slot_that_moves() {
    let servers = Servers::start(&["redis-cluster"]);
    servers.keep_masters();
    let ledger = Ledger::start(&servers, URL, channels()).await;
    ledger.flows().await;
    let moving: Vec<&String> = ledger.channels.iter().step_by(6).collect();
    for channel in &moving {
        let slot = slot(channel.as_bytes());
        let (from, to) = owner_and_other(&servers, slot).await;
        servers.move_slot(slot, &from, &to, || {});
    }
    ledger.flows().await;
    // And to and fro, before anybody has settled.
    let slot = slot(moving[0].as_bytes());
    for _ in 0..4 {
        let (from, to) = owner_and_other(&servers, slot).await;
        servers.move_slot(slot, &from, &to, || {});
    }
    ledger.flows().await;
    // Exactly those were told of an interruption.
    let expected: HashSet<String> = moving.into_iter().cloned().collect();
    until("interruptions are told", async || {
        ledger.interrupted() == expected
    })
    .await;
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_and_one_that_hangs() {
    let servers = Servers::start(&["redis-cluster"]);
    let ledger = Ledger::start(&servers, URL, channels()).await;
    ledger.subscriber.subscribe_pattern("p*").await.unwrap();
    ledger.flows().await;

    let slot = slot(ledger.channels[0].as_bytes());
    let (dying, _) = owner_and_other(&servers, slot).await;
    // By default a Cluster without one of its masters serves nothing.
    for offset in 0..6 {
        let setting = ["config", "set", "cluster-require-full-coverage", "no"];
        servers.redis_cli(servers.port(offset), &setting);
    }
    let elsewhere = ledger.channels.iter().find(|channel| {
        let masters = servers.masters(redis_client::slot(channel.as_bytes()));
        masters
            .iter()
            .any(|member| member.has_slot && member.port != dying.port)
    });
    servers.signal(&format!("redis-cluster/node-{}", dying.offset), "KILL");
    until("the dead master's commands fail", async || {
        let get = cmd("GET").arg(&ledger.channels[0]).take();
        ledger.client.run::<Option<String>>(get).await.is_err()
    })
    .await;
    // The others go on. On a busy machine they may lose sight of each other too, and call the Cluster down for a moment.
    let value = until_ok("another master's commands", async || {
        let get = cmd("GET").arg(elsewhere.unwrap()).take();
        ledger.client.run::<Option<String>>(get).await
    })
    .await;
    assert_eq!(value, None);
    ledger.flows().await;
    until("connected", async || {
        ledger.client.is_connected() && ledger.subscriber.is_connected()
    })
    .await;
    servers.up();

    // A master hangs until its replica has taken over, and wakes up again.
    let (hanging, _) = owner_and_other(&servers, slot).await;
    let member = format!("redis-cluster/node-{}", hanging.offset);
    servers.signal(&member, "STOP");
    ledger.flows().await;
    servers.signal(&member, "CONT");
    ledger.flows().await;
    // The pattern lives on some server, whichever it was on before.
    until("the pattern's messages flow", async || {
        drop(
            ledger
                .client
                .run::<u64>(cmd("PUBLISH").arg("p1").arg("x"))
                .await,
        );
        ledger.of_patterns() > 0
    })
    .await;
    ledger.close().await;
}
