//! Instances of one fleet, each a process, on the services that all tests share or on others.

use std::{process::Output, time::Duration};

use tempfile::TempDir;

use super::worker_process::WorkerProcess;
use crate::{
    deadline::within,
    server::server_process::{ServerProcess, command},
};

/// What they have in common: a database and a prefix of their own.
pub struct Fleet {
    data: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Fleet {
    /// Without any instance yet.
    pub fn new() -> Self {
        Self::on(&stack::address("REDIS_URL"), stack::mongodb)
    }

    /// On other services: a Redis, and the address of a database by its name.
    pub fn on(redis: &str, mongodb: impl Fn(&str) -> String) -> Self {
        let name = format!("test-{:016x}", rand::random::<u64>());
        Self {
            data: TempDir::new().unwrap(),
            variables: vec![
                ("MONGODB_URI", mongodb(&name)),
                ("REDIS_URL", redis.to_owned()),
                ("REDIS_PREFIX", name),
                ("JWT_SECRET", "a secret that all instances share".into()),
                ("HOST", "127.0.0.1".into()),
                ("INTERNAL_PORT", "0".into()),
            ],
        }
    }

    /// Its instances have this variable with another value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.retain(|(before, _)| *before != name);
        self.variables.push((name, value.into()));
        self
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let variables = self.variables.iter();
        variables
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    /// One more instance, which takes clients.
    pub async fn start(&self) -> ServerProcess {
        let server = self.start_waiting().await;
        self.is_ready(&server).await;
        server
    }

    /// One more instance, which may have to wait for its services.
    pub async fn start_waiting(&self) -> ServerProcess {
        ServerProcess::start(self.data.path(), &self.variables()).await
    }

    /// A worker, which is ready to run jobs.
    pub async fn start_worker(&self) -> WorkerProcess {
        WorkerProcess::start(self.data.path(), &self.variables()).await
    }

    /// Waits until an instance takes clients.
    pub async fn is_ready(&self, server: &ServerProcess) {
        within("a server that is ready", async {
            while server.get("/health/ready", None).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Runs a command of the server's with the same configuration; says whether it succeeded and what it printed.
    pub async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let child = command(arguments, &self.variables()).await.spawn().unwrap();
        let ended = within("the command's end", child.wait_with_output()).await;
        let Output {
            status,
            stdout,
            stderr,
        } = ended.unwrap();
        (
            status.success(),
            String::from_utf8([stdout, stderr].concat()).unwrap(),
        )
    }
}
