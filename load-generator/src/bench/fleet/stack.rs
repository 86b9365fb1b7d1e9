//! The services of `scripts/stack` that run: where they are, and what they use.

use std::{collections::BTreeMap, env, fs, path::PathBuf, time::Duration};

use crate::{
    error::{Doing, Error, Result},
    proc_stat,
};

/// A Redis Cluster and a MongoDB replica set, with the processes that they are.
pub struct Stack {
    /// `MONGODB_URI`, without a database.
    pub mongodb_uri: String,
    /// `REDIS_URL`.
    pub redis_url: String,
    redis: Vec<u32>,
    mongodb: Vec<u32>,
}

impl Stack {
    /// The stack of `STACK_DIR`, `target/stack` by default.
    ///
    /// # Errors
    /// [`Error::Usage`], with the command that starts it, when it doesn't run.
    pub fn find() -> Result<Self> {
        let directory = env::var("STACK_DIR").unwrap_or_else(|_| "target/stack".into());
        let directory = PathBuf::from(directory);
        let missing = || Error::Usage("run: scripts/stack up mongodb redis-cluster".into());
        let text = fs::read_to_string(directory.join("env")).map_err(|_| missing())?;
        let mut variables: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let mut take = |name| variables.remove(name).map(Into::into).ok_or_else(missing);
        Ok(Self {
            mongodb_uri: take("MONGODB_URI")?,
            redis_url: take("REDIS_URL")?,
            redis: members(directory.join("redis-cluster"))?,
            mongodb: members(directory.join("mongodb"))?,
        })
    }

    /// The CPU time that all nodes of the Redis Cluster have used.
    ///
    /// # Errors
    /// [`Error::Server`] when one of them is gone.
    pub fn redis_cpu(&self) -> Result<Duration> {
        self.redis.iter().copied().map(proc_stat::cpu_time).sum()
    }

    /// The CPU time that all members of the replica set have used.
    ///
    /// # Errors
    /// As [`Stack::redis_cpu`].
    pub fn mongodb_cpu(&self) -> Result<Duration> {
        self.mongodb.iter().copied().map(proc_stat::cpu_time).sum()
    }

    /// The URI of a database of the replica set.
    pub fn database(&self, name: &str) -> String {
        match self.mongodb_uri.split_once("/?") {
            Some((hosts, options)) => format!("{hosts}/{name}?{options}"),
            None => format!("{}/{name}", self.mongodb_uri.trim_end_matches('/')),
        }
    }

    /// The ports of the Redis Cluster.
    pub fn redis_ports(&self) -> Vec<u16> {
        let nodes = self.redis_url.split(',');
        nodes
            .filter_map(|node| node.rsplit_once(':')?.1.parse().ok())
            .collect()
    }
}

/// The processes of a service, by the pid that each member noted.
fn members(service: PathBuf) -> Result<Vec<u32>> {
    let doing = || format!("reading {}", service.display());
    let mut pids = Vec::new();
    for member in fs::read_dir(&service).doing(doing)? {
        let pid = member.doing(doing)?.path().join("pid");
        let noted = fs::read_to_string(pid).ok();
        pids.extend(noted.and_then(|pid| pid.trim().parse::<u32>().ok()));
    }
    Ok(pids)
}
