//! Commands: to the server that has their keys, wherever that is just now.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{FromRedisValue, ToRedisArgs, Value, cmd};

use crate::link::Access;
use crate::resp::encode;
use crate::routes::Routes;
use crate::routing::slot_of;
use crate::server_load::ServerLoad;
use crate::slots::slot;
use crate::task::Task;
use crate::topology::Topology;
use crate::url::Kind;
use crate::{Command, Options, RedisError, RedisUrl, Script, Stats};

/// One logical Redis. Cloning shares it.
///
/// Connecting goes on in the background, with jittered back-off, for as long as a clone exists: making a client never
/// fails and never waits. While a master is away, commands for it fail at once; those that come during the first try to
/// connect wait for it, at most for the connect timeout. Others are sent and answered within the response timeout, or
/// fail. A command is never run twice by the client: it is sent again only when the server said that it didn't run it.
///
/// Many callers at once share one connection to each master, pipelined. So blocking commands (`BLPOP`, `WAIT`) and
/// transactions (`MULTI`) aren't for it; scripts are.
#[derive(Clone)]
pub struct RedisClient {
    shared: Arc<Shared>,
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RedisClient");
        debug
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

struct Shared {
    routes: Arc<Routes>,
    _topology: Topology,
    _keeper: Task,
    /// When the servers were asked last, and what they said.
    load: tokio::sync::Mutex<Option<(Instant, Option<ServerLoad>)>>,
}

/// How long [`RedisClient::server_load`] is remembered.
const LOAD_IS_FRESH: Duration = Duration::from_secs(10);

/// Facts about the servers; of several masters, the worst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// The lowest version, such as "7.0.15".
    pub version: String,
    /// The first number of the version.
    pub major: u32,
    /// `maxmemory-policy`, one that isn't `noeviction` if any master has such a one; `None` where a server doesn't let us ask
    /// (managed offers forbid `CONFIG`).
    pub maxmemory_policy: Option<String>,
    /// Whether it is a Cluster.
    pub cluster: bool,
}

impl RedisClient {
    /// A client that begins to connect in the background. Within a Tokio runtime.
    pub fn new(url: RedisUrl, options: Options) -> Self {
        let access = Access::new(&url, options);
        let must_be_master = matches!(url.kind, Kind::Sentinel { .. });
        let topology = Topology::new(url, access.clone());
        let routes = Arc::new(Routes::new(access, must_be_master, topology.refresh()));
        let keeper = Task::spawn(Arc::clone(&routes).keep(topology.discovered()));
        Self {
            shared: Arc::new(Shared {
                routes,
                _topology: topology,
                _keeper: keeper,
                load: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Runs one command. Its keys must lie in one slot. Without keys any master may answer. Dropping the future doesn't take
    /// the command back.
    pub async fn run<T: FromRedisValue>(
        &self,
        command: impl Into<Command>,
    ) -> Result<T, RedisError> {
        let command = command.into();
        let routes = &self.shared.routes;
        convert(
            routes
                .perform(slot_of(&command.cmd), &|out, whole| {
                    command.write(out, whole)
                })
                .await,
        )
    }

    /// Calls a script by its SHA-1; a server that hasn't got it is given it.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[impl ToRedisArgs],
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        self.run(script.call(keys, args)).await
    }

    /// Runs many independent commands at once, of any slots, pipelined by node. Each has a result of its own, in the order
    /// given; those for one node are run in that order, unless a slot is just being moved.
    pub async fn run_all<T: FromRedisValue>(
        &self,
        commands: Vec<Command>,
    ) -> Vec<Result<T, RedisError>> {
        self.shared
            .routes
            .perform_all(&commands)
            .await
            .into_iter()
            .map(convert)
            .collect()
    }

    /// Runs one command on every master.
    pub async fn run_on_masters<T: FromRedisValue>(
        &self,
        command: impl Into<Command>,
    ) -> Result<Vec<T>, RedisError> {
        let command = command.into();
        let values = self.shared.routes.perform_on_masters(&command).await?;
        let values = values.into_iter().map(|value| convert(Ok(value)));
        values.collect()
    }

    /// Publishes to a shard channel; returns how many subscribers got it from the channel's master.
    pub async fn publish_sharded(&self, channel: &str, payload: &[u8]) -> Result<u32, RedisError> {
        let write = |out: &mut Vec<u8>, _| encode(out, &[b"SPUBLISH", channel.as_bytes(), payload]);
        convert(
            self.shared
                .routes
                .perform(Some(slot(channel.as_bytes())), &write)
                .await,
        )
    }

    /// Whether every slot has a master and every master is connected.
    pub fn is_connected(&self) -> bool {
        self.shared.routes.is_connected()
    }

    /// A round trip to one of the masters.
    pub async fn ping(&self) -> Result<Duration, RedisError> {
        let start = Instant::now();
        self.run::<Value>(cmd("PING")).await?;
        Ok(start.elapsed())
    }

    /// Asks every master.
    pub async fn server_facts(&self) -> Result<ServerFacts, RedisError> {
        let policy = cmd("CONFIG").arg("GET").arg("maxmemory-policy").take();
        let maxmemory_policy = match self.run_on_masters::<HashMap<String, String>>(policy).await {
            Ok(answers) => {
                let mut policies = answers.into_iter().flat_map(HashMap::into_values);
                let first = policies.next();
                policies.find(|policy| policy != "noeviction").or(first)
            }
            Err(RedisError::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        let masters = self.shared.routes.masters().await?;
        let numbers = |version: &str| {
            version
                .split('.')
                .map(|part| part.parse().unwrap_or(0))
                .collect::<Vec<u32>>()
        };
        let version = masters
            .iter()
            .map(|node| node.greeting().version)
            .min_by_key(|version| numbers(version));
        let version = version.unwrap_or_default();
        Ok(ServerFacts {
            major: numbers(&version).first().copied().unwrap_or(0),
            version,
            maxmemory_policy,
            cluster: self.shared.routes.is_cluster(),
        })
    }

    /// How loaded the masters are, as they said at most 10 s ago; they are asked when this is called, not before. `None` if
    /// they couldn't be asked.
    pub async fn server_load(&self) -> Option<ServerLoad> {
        // One asks; who comes meanwhile takes what it learns.
        let mut last = self.shared.load.lock().await;
        if let Some((asked, load)) = &*last
            && asked.elapsed() < LOAD_IS_FRESH
        {
            return *load;
        }
        let sections = ["memory", "clients", "replication"];
        let answers = self.run_on_masters(cmd("INFO").arg(&sections)).await;
        let load = answers.ok().and_then(|answers: Vec<String>| {
            let loads = answers.iter().map(|info| ServerLoad::parse(info));
            loads.reduce(ServerLoad::worst)
        });
        *last = Some((Instant::now(), load));
        load
    }

    /// Counters since start.
    pub fn stats(&self) -> &Stats {
        self.shared.routes.stats()
    }
}

fn convert<T: FromRedisValue>(value: Result<Value, RedisError>) -> Result<T, RedisError> {
    T::from_redis_value(value?).map_err(|error| RedisError::Unexpected(error.to_string()))
}
