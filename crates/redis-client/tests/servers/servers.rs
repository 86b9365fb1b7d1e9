//! Servers of a test's own, so that it may do to them what it likes, and the clients for them.

use std::ops::Deref;
use std::time::{Duration, Instant};

use redis_client::{Incoming, Options, RedisClient, RedisError, RedisUrl, Subscriber};
use stack::Stack;

/// Within which everything must have happened. Long, for the machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Servers {
    stack: Stack,
    tls: bool,
}

impl Deref for Servers {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Servers {
    pub fn start(services: &[&'static str]) -> Self {
        Self {
            stack: Stack::start(services),
            tls: false,
        }
    }

    /// Over TLS, with passwords.
    pub fn start_guarded(services: &[&'static str]) -> Self {
        Self {
            stack: Stack::start_with(services, true),
            tls: true,
        }
    }

    pub fn url(&self, name: &str) -> RedisUrl {
        self.get(name).parse().unwrap()
    }

    pub fn client(&self, name: &str) -> RedisClient {
        RedisClient::new(self.url(name), self.options())
    }

    pub fn subscriber(&self, name: &str, queue: usize) -> (Subscriber, Incoming) {
        Subscriber::new(self.url(name), self.options(), queue)
    }

    pub fn options(&self) -> Options {
        Options {
            ca_file: self.tls.then(|| self.get("TLS_CA_FILE").into()),
            ..Options::new("tests")
        }
    }

    /// Keeps the Cluster's masters what they are: on a busy machine a node may get no time for longer than others wait for
    /// it, and where another one takes over, commands fail whose masters all live.
    pub fn keep_masters(&self) {
        for offset in 0..6 {
            for setting in [
                ["config", "set", "cluster-replica-no-failover", "yes"],
                ["config", "set", "cluster-node-timeout", "60000"],
            ] {
                self.redis_cli(self.port(offset), &setting);
            }
        }
    }

    /// The masters of the Cluster, each as it sees itself: others may not have heard yet.
    pub fn masters(&self, slot: u16) -> Vec<Member> {
        let is_within = |range: &&str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
        };
        let mut masters = Vec::new();
        for offset in 0..6 {
            let nodes = self.redis_cli(self.port(offset), &["cluster", "nodes"]);
            let itself = nodes.lines().find(|line| line.contains("myself")).unwrap();
            let words: Vec<&str> = itself.split(' ').collect();
            if words[2].contains("master") && words.len() > 8 {
                masters.push(Member {
                    port: self.port(offset),
                    offset,
                    id: words[0].to_owned(),
                    has_slot: words[8..].iter().any(is_within),
                });
            }
        }
        masters
    }

    /// Moves a slot as `redis-cli --cluster reshard` does, calling `midway` while it is open at both ends.
    pub fn move_slot(&self, slot: u16, from: &Member, to: &Member, midway: impl FnOnce()) {
        let number = slot.to_string();
        self.redis_cli(
            to.port,
            &["cluster", "setslot", &number, "importing", &from.id],
        );
        self.redis_cli(
            from.port,
            &["cluster", "setslot", &number, "migrating", &to.id],
        );
        midway();
        loop {
            let keys = self.redis_cli(from.port, &["cluster", "getkeysinslot", &number, "100"]);
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let port = to.port.to_string();
            self.redis_cli(
                from.port,
                &[
                    &["migrate", "127.0.0.1", &port, "", "0", "5000", "keys"],
                    &keys[..],
                ]
                .concat(),
            );
        }
        self.redis_cli(to.port, &["cluster", "setslot", &number, "node", &to.id]);
        self.redis_cli(from.port, &["cluster", "setslot", &number, "node", &to.id]);
    }
}

#[derive(Debug, Clone)]
pub struct Member {
    pub port: u16,
    pub offset: u16,
    pub id: String,
    pub has_slot: bool,
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a command succeeds; only what may pass may be in its way.
pub async fn until_ok<T>(what: &str, mut run: impl AsyncFnMut() -> Result<T, RedisError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match run().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(error.is_temporary(), "{what}: {error}");
                assert!(
                    Instant::now() < deadline,
                    "not within {PATIENCE:?}: {what}: {error}"
                );
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
