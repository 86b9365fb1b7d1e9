//! Servers of a test's own, started by `scripts/stack`, so that it may do to them what it likes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use redis_client::{Incoming, RedisError};
use redis_client::{Options, RedisClient, RedisUrl, Subscriber};

/// The first ports of the hundred that a stack may use.
const BASES: std::ops::Range<u16> = 230..240;

/// Within which everything must have happened. Long, for the machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stack {
    directory: PathBuf,
    base: u16,
    tls: bool,
    services: Vec<&'static str>,
    /// Locked, so that no other test takes these ports; freed even if this process is killed.
    _lock: File,
}

impl Stack {
    pub fn start(services: &[&'static str]) -> Self {
        Self::start_with(services, false)
    }

    pub fn start_with(services: &[&'static str], tls: bool) -> Self {
        let (base, lock) = free_ports();
        let directory = std::env::temp_dir().join(format!("tertulia-redis-client-{base}"));
        let stack = Self {
            directory,
            base,
            tls,
            services: services.to_vec(),
            _lock: lock,
        };
        // A test that was killed may have left its own.
        if stack.directory.exists() {
            stack.script("down", &[]);
        }
        stack.up();
        stack
    }

    /// Starts what doesn't run.
    pub fn up(&self) {
        self.script("up", &self.services);
    }

    fn script(&self, command: &str, services: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/stack");
        let output = Command::new(script)
            .arg(command)
            .args(services)
            .env("STACK_DIR", &self.directory)
            .env("STACK_PORTS", self.base.to_string())
            .env("STACK_TLS", if self.tls { "1" } else { "0" })
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "stack {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A value that `stack env` tells.
    pub fn env(&self, name: &str) -> String {
        let env = fs::read_to_string(self.directory.join("env")).unwrap();
        let line = env
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {env}"))
            .to_owned()
    }

    pub fn url(&self, name: &str) -> RedisUrl {
        self.env(name).parse().unwrap()
    }

    pub fn port(&self, offset: u16) -> u16 {
        self.base + offset
    }

    pub fn client(&self, name: &str) -> RedisClient {
        RedisClient::new(self.url(name), self.options())
    }

    pub fn subscriber(&self, name: &str, queue: usize) -> (Subscriber, Incoming) {
        Subscriber::new(self.url(name), self.options(), queue)
    }

    pub fn options(&self) -> Options {
        Options {
            ca_file: self.tls.then(|| self.env("TLS_CA_FILE").into()),
            ..Options::new("tests")
        }
    }

    /// Sends a signal to a member, such as `redis-cluster/node-0`.
    pub fn signal(&self, member: &str, signal: &str) {
        let pid = fs::read_to_string(self.directory.join(member).join("pid")).unwrap();
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid.trim())
            .status()
            .unwrap();
        assert!(status.success(), "{member} doesn't run");
    }

    /// Asks a server through `redis-cli`.
    pub fn cli(&self, port: u16, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        let answer = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(
            output.status.success() && !answer.starts_with("ERR"),
            "{arguments:?}: {answer}"
        );
        answer
    }

    /// The masters of the Cluster, each as it sees itself: others may not have heard yet.
    pub fn masters(&self, slot: u16) -> Vec<Member> {
        let is_within = |range: &&str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
        };
        let mut masters = Vec::new();
        for offset in 0..6 {
            let nodes = self.cli(self.port(offset), &["cluster", "nodes"]);
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
        self.cli(
            to.port,
            &["cluster", "setslot", &number, "importing", &from.id],
        );
        self.cli(
            from.port,
            &["cluster", "setslot", &number, "migrating", &to.id],
        );
        midway();
        loop {
            let keys = self.cli(from.port, &["cluster", "getkeysinslot", &number, "100"]);
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let port = to.port.to_string();
            self.cli(
                from.port,
                &[
                    &["migrate", "127.0.0.1", &port, "", "0", "5000", "keys"],
                    &keys[..],
                ]
                .concat(),
            );
        }
        self.cli(to.port, &["cluster", "setslot", &number, "node", &to.id]);
        self.cli(from.port, &["cluster", "setslot", &number, "node", &to.id]);
    }
}

#[derive(Debug, Clone)]
pub struct Member {
    pub port: u16,
    pub offset: u16,
    pub id: String,
    pub has_slot: bool,
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the servers' logs were in {}", self.directory.display());
        }
        self.script("down", &[]);
    }
}

/// A hundred ports that nobody uses, and the lock that keeps them.
fn free_ports() -> (u16, File) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        for hundred in BASES {
            let base = hundred * 100;
            let path = std::env::temp_dir().join(format!("tertulia-redis-client-{base}.lock"));
            let lock = File::create(path).unwrap();
            let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
            if lock.try_lock().is_ok() && (base..base + 45).collect::<Vec<_>>().iter().all(is_free)
            {
                return (base, lock);
            }
        }
        assert!(
            Instant::now() < deadline,
            "no free ports from {}",
            BASES.start * 100
        );
        std::thread::sleep(Duration::from_millis(200));
    }
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
