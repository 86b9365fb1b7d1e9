//! The processes of one fleet: the first publishes, the second has the subscribers, the third has nobody.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::stack::Stack;
use crate::{
    bench::{
        WORK_DIRECTORY,
        contestant::Contestant,
        server::{Server, free_port},
    },
    engine::Deadline,
    error::{Doing, Error, Result},
    proc_stat,
};

const READY_TIME: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(100);

/// What a fleet's processes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The server, on MongoDB and Redis.
    Tertulia,
    /// Socket.IO on Node with the adapter its documentation starts with: every message to every process.
    NodePlain,
    /// The same with the adapter for a Cluster: a channel for each room.
    NodeSharded,
}

/// A fleet that runs. Dropping it kills its processes.
pub struct Instances {
    /// A, B and, of Tertulia, C.
    pub servers: Vec<Server>,
}

impl Instances {
    /// Starts a fleet whose database and keys are `name`'s, and returns once every process is ready.
    ///
    /// # Errors
    /// As [`Server::start`], and [`Error::Deadline`] when one isn't ready within 60 s.
    pub fn start(kind: Kind, stack: &Stack, name: &str) -> Result<Self> {
        let count = if kind == Kind::Tertulia { 3 } else { 2 };
        let servers = (0..count).map(|place| start(kind, stack, name, place));
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
        })
    }

    /// The CPU time each process has used.
    ///
    /// # Errors
    /// [`Error::Server`] when one is gone.
    pub fn cpu(&self) -> Result<Vec<Duration>> {
        let servers = self.servers.iter();
        servers
            .map(|server| proc_stat::cpu_time(server.pid()))
            .collect()
    }

    /// The bytes that Redis has sent to the process at `place`, on the connections that stand, as the kernel's `ss` tells.
    ///
    /// # Errors
    /// [`Error::Io`] without `ss` (Debian's iproute2).
    pub fn bytes_from_redis(&self, place: usize, stack: &Stack) -> Result<u64> {
        let output = Command::new("ss")
            .args(["-tinHOp"])
            .output()
            .doing(|| "running ss".into())?;
        let owner = format!("pid={},", self.servers[place].pid());
        let peers: Vec<_> = stack
            .redis_ports()
            .into_iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut bytes = 0;
        for line in text.lines().filter(|line| line.contains(&owner)) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            if fields
                .get(4)
                .is_some_and(|peer| peers.iter().any(|redis| redis == peer))
            {
                let received = fields
                    .iter()
                    .find_map(|field| field.strip_prefix("bytes_received:"));
                bytes += received
                    .and_then(|bytes| bytes.parse::<u64>().ok())
                    .unwrap_or(0);
            }
        }
        Ok(bytes)
    }

    /// The error of a process that ended explains more than that of the connection it took along.
    pub fn explain(&mut self, error: Error) -> Error {
        let mut servers = self.servers.iter_mut();
        servers
            .find_map(|server| server.check_alive().err())
            .unwrap_or(error)
    }
}

fn start(kind: Kind, stack: &Stack, name: &str, place: usize) -> Result<Server> {
    let work = Path::new(WORK_DIRECTORY);
    let log = work.join(format!("fleet-{kind:?}-{place}.log").to_lowercase());
    let redis = [
        ("REDIS_URL", stack.redis_url.clone()),
        ("REDIS_PREFIX", name.into()),
    ];
    let node = |adapter: &str| {
        let settings = [redis.as_slice(), &[("ADAPTER", adapter.into())]].concat();
        Server::start(&Contestant::Node.command()?, &settings, None, &log)
    };
    match kind {
        Kind::NodePlain => node("plain"),
        Kind::NodeSharded => node("sharded"),
        Kind::Tertulia => {
            let data = work.join(format!("fleet-data-{place}"));
            fs::create_dir_all(&data).doing(|| format!("creating {}", data.display()))?;
            let own = [
                ("MONGODB_URI", stack.database(name)),
                // Known to these processes only, which listen on loopback and end with the run.
                ("JWT_SECRET", format!("the secret of the fleet {name:>32}")),
                ("HOST", "127.0.0.1".into()),
                ("INTERNAL_PORT", free_port()?.to_string()),
                ("METRICS_PORT", free_port()?.to_string()),
                ("DATA_DIR", data.display().to_string()),
                ("WORKER_THREADS", "1".into()),
            ];
            let settings = [redis.as_slice(), own.as_slice()].concat();
            let command = Contestant::Tertulia.command()?;
            let server = Server::start(&command, &settings, None, &log)?;
            wait_until_ready(&command[0], server)
        }
    }
}

/// It listens before its services answer.
fn wait_until_ready(program: &str, mut server: Server) -> Result<Server> {
    let deadline = Deadline::after(READY_TIME);
    loop {
        let status = Command::new(program)
            .arg("health")
            .env("HOST", "127.0.0.1")
            .env("PORT", server.address.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .doing(|| format!("running {program} health"))?;
        if status.success() {
            return Ok(server);
        }
        server.check_alive()?;
        deadline.check(|| format!("{} isn't ready", server.address))?;
        thread::sleep(RETRY);
    }
}
