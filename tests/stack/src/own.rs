//! Services for tests that kill, pause and empty them. Every call waits for its end, so a test's runtime needs a thread
//! beside the test's own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, thread};

use mongodb::bson::doc;

use crate::{ROOT, in_database, signal_if_there, signal_process, value};

/// The first ports of the hundreds that stacks may have which tests start for themselves.
const HUNDREDS: std::ops::Range<u16> = 230..250;

/// How long a test waits for ports that nobody has.
const PATIENCE: Duration = Duration::from_secs(120);

/// Services that nobody else uses meanwhile.
pub struct Stack {
    directory: PathBuf,
    /// `None` until the script has chosen them.
    ports: Option<u16>,
    tls: bool,
    services: Vec<&'static str>,
    kept: bool,
    /// Held as long as this lives, so that no other test, of whatever process, has these ports.
    _lock: File,
}

impl Stack {
    /// These services, which end with this.
    ///
    /// # Panics
    /// If one can't be started.
    pub fn start(services: &[&'static str]) -> Self {
        Self::start_with(services, false)
    }

    /// As [`Stack::start`], perhaps over TLS and with passwords.
    ///
    /// # Panics
    /// If one can't be started.
    pub fn start_with(services: &[&'static str], tls: bool) -> Self {
        let (ports, lock) = free_ports();
        let stack = Self {
            directory: env::temp_dir().join(format!("tertulia-stack-{ports}")),
            ports: Some(ports),
            tls,
            services: services.to_vec(),
            kept: false,
            _lock: lock,
        };
        // A test that was killed may have left its own.
        if stack.directory.exists() {
            stack.script("down", &[]);
        }
        stack.up();
        stack
    }

    /// A Redis Cluster and a replica set, whole, for one test at a time, which may leave them broken. They are left
    /// running: `make stack-down` ends them.
    ///
    /// # Panics
    /// If one can't be started.
    pub fn to_break() -> Self {
        let directory = Path::new(ROOT).join("target/stack-of-faults");
        fs::create_dir_all(&directory).unwrap();
        let lock = File::create(directory.join("lock-of-tests")).unwrap();
        lock.lock().unwrap();
        let mut stack = Self {
            directory,
            ports: None,
            tls: false,
            services: vec!["redis-cluster", "mongodb"],
            kept: true,
            _lock: lock,
        };
        stack.up();
        let settings = fs::read_to_string(stack.directory.join("settings")).unwrap();
        let ports = settings
            .split(' ')
            .find_map(|setting| setting.strip_prefix("STACK_PORTS="));
        stack.ports = Some(ports.unwrap().parse().unwrap());
        stack
    }

    /// Starts what doesn't run, and waits until all is whole.
    ///
    /// # Panics
    /// If that fails.
    pub fn up(&self) {
        self.script("up", &self.services);
    }

    /// The value of `name`, such as `REDIS_URL`.
    ///
    /// # Panics
    /// If no service says it.
    pub fn get(&self, name: &str) -> String {
        value(
            &fs::read_to_string(self.directory.join("env")).unwrap(),
            name,
        )
    }

    /// The address of a database in the replica set.
    ///
    /// # Panics
    /// Without the service.
    pub fn mongodb(&self, database: &str) -> String {
        in_database(&self.get("MONGODB_URI"), database)
    }

    /// The port of this number in `scripts/stack`'s list.
    pub fn port(&self, number: u16) -> u16 {
        self.ports.unwrap() + number
    }

    /// The directory of a member, such as `smtp/server`.
    pub fn member(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Sends a signal to a member, such as `KILL` to `mongodb/member-0`.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn signal(&self, member: &str, signal: &str) {
        let directory = fs::canonicalize(self.directory.join(member)).unwrap();
        let pid = fs::read_to_string(directory.join("pid")).unwrap();
        // The pid of one that has ended may be another process's by now.
        let works_in = fs::read_link(format!("/proc/{}/cwd", pid.trim()));
        assert!(
            works_in.is_ok_and(|it| it.starts_with(directory)),
            "{member} doesn't run"
        );
        signal_process(pid.trim().parse().unwrap(), signal);
    }

    /// Sends a signal to all processes of a member that is a server of PostgreSQL, such as `postgresql/replica`, which is
    /// several; or to those of them whose title has this in it, such as `startup`, the one that replays.
    ///
    /// # Panics
    /// If there is none.
    pub fn signal_processes(&self, member: &str, title: &str, signal: &str) {
        let data = fs::canonicalize(self.directory.join(member).join("data")).unwrap();
        let mut signalled = 0;
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let works_there =
                fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data);
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let shown = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if works_there && name.trim() == "postgres" && shown.contains(title) {
                let pid = process.file_name().into_string().unwrap();
                // Some come and go by themselves.
                signalled += u32::from(signal_if_there(pid.parse().unwrap(), signal));
            }
        }
        assert!(signalled > 0, "{member} has no process {title:?}");
    }

    /// Sends a signal to every member of a service.
    ///
    /// # Panics
    /// If none runs.
    pub fn signal_all(&self, service: &str, signal: &str) {
        let mut members = 0;
        for member in fs::read_dir(self.directory.join(service)).unwrap() {
            let path = member.unwrap().path();
            if path.join("pid").exists() {
                self.signal(path.to_str().unwrap(), signal);
                members += 1;
            }
        }
        assert!(members > 0, "{service} doesn't run");
    }

    /// The answer of a Redis.
    ///
    /// # Panics
    /// If it doesn't answer, or with an error.
    pub fn redis_cli(&self, port: u16, arguments: &[&str]) -> String {
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

    /// Has the broker do something, such as `set_vm_memory_high_watermark`.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn rabbitmqctl(&self, arguments: &[&str]) {
        let directory = self.directory.join("rabbitmq/broker");
        let output = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl")
            .args(arguments)
            .env("HOME", &directory)
            .env("ERL_EPMD_PORT", self.port(24).to_string())
            .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
            .env(
                "RABBITMQ_NODENAME",
                format!("tertulia-{}@localhost", self.port(0)),
            )
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The numbers of the Redis Cluster's nodes that are masters, each by its own account.
    ///
    /// # Panics
    /// Unless all run.
    pub fn redis_masters(&self) -> Vec<u16> {
        let is_master = |node: &u16| {
            let role = self.redis_cli(self.port(*node), &["role"]);
            role.starts_with("master")
        };
        (0..6).filter(is_master).collect()
    }

    /// Empties every master of the Redis Cluster.
    ///
    /// # Panics
    /// Unless all run.
    pub fn flush_redis(&self) {
        for node in self.redis_masters() {
            self.redis_cli(self.port(node), &["flushall"]);
        }
    }

    /// The member that is the primary of the replica set, such as `mongodb/member-0`, once there is one: on a busy machine
    /// the members may elect another at any moment.
    ///
    /// # Panics
    /// If none is elected within a minute.
    pub async fn primary(&self) -> String {
        let uri = self.get("MONGODB_URI");
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let address = loop {
            let admin = client.database("admin");
            let answer = admin.run_command(doc! { "hello": 1 }).await;
            let primary = answer
                .as_ref()
                .ok()
                .and_then(|it| it.get_str("primary").ok());
            if let Some(address) = primary {
                break address.to_owned();
            }
            assert!(Instant::now() < deadline, "no primary: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        client.shutdown().await;
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        format!("mongodb/member-{}", port - self.port(40))
    }

    fn script(&self, command: &str, services: &[&str]) {
        let ports = self.ports.map(|ports| ports.to_string());
        let output = Command::new("scripts/stack")
            .arg(command)
            .args(services)
            .env("STACK_DIR", &self.directory)
            .env("STACK_PORTS", ports.unwrap_or_default())
            .env("STACK_TLS", if self.tls { "1" } else { "0" })
            .current_dir(ROOT)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "stack {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if thread::panicking() {
            eprintln!("the services' logs were in {}", self.directory.display());
        }
        self.script("down", &[]);
    }
}

/// A hundred ports that nobody uses, and the lock that keeps them.
fn free_ports() -> (u16, File) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for hundred in HUNDREDS {
            let ports = hundred * 100;
            let path = env::temp_dir().join(format!("tertulia-stack-{ports}.lock"));
            // Another user's checkout may be under test as well.
            let Ok(lock) = File::create(path) else {
                continue;
            };
            let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if lock.try_lock().is_ok() && (ports..ports + 60).all(is_free) {
                return (ports, lock);
            }
        }
        assert!(Instant::now() < deadline, "no free ports");
        thread::sleep(Duration::from_millis(200));
    }
}
