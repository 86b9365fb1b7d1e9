//! The real services that a fleet works with. Those that all tests share (`make stack`) are kept apart by database and by
//! prefix; a test that breaks some starts its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// The repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A stack of a test's own, which it may break. Dropping it ends its services.
pub struct Stack {
    directory: PathBuf,
    ports: u16,
    services: &'static [&'static str],
    variables: HashMap<String, String>,
}

impl Stack {
    /// Starts these services on the hundred ports from `ports` on.
    ///
    /// # Panics
    /// If one can't be started.
    pub async fn start(ports: u16, services: &'static [&'static str]) -> Self {
        let directory = root().join(format!("target/stack-{ports}"));
        let mut stack = Self {
            directory,
            ports,
            services,
            variables: HashMap::new(),
        };
        stack.up().await;
        let text = std::fs::read_to_string(stack.directory.join("env")).expect("addresses");
        stack.variables = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        stack
    }

    /// Starts again what doesn't run.
    ///
    /// # Panics
    /// If a service can't be started.
    pub async fn up(&self) {
        let started = command(&self.directory, self.ports)
            .arg("up")
            .args(self.services)
            .status()
            .await
            .expect("scripts/stack");
        assert!(
            started.success(),
            "{} doesn't start",
            self.directory.display()
        );
    }

    /// What it says of itself by this name.
    ///
    /// # Panics
    /// If it says nothing.
    pub fn get(&self, name: &str) -> &str {
        self.variables
            .get(name)
            .unwrap_or_else(|| panic!("the stack has no {name}"))
    }

    /// Ends every member of a service without warning.
    ///
    /// # Panics
    /// If none runs.
    pub fn kill(&self, service: &str) {
        let mut killed = 0;
        for member in std::fs::read_dir(self.directory.join(service)).unwrap() {
            let Ok(pid) = std::fs::read_to_string(member.unwrap().path().join("pid")) else {
                continue;
            };
            let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
            killed += 1;
        }
        assert!(killed > 0, "no {service} runs");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let ended = std::process::Command::new(root().join("scripts/stack"))
            .arg("down")
            .env("STACK_DIR", &self.directory)
            .env("STACK_PORTS", self.ports.to_string())
            .status();
        if !matches!(ended, Ok(status) if status.success()) {
            eprintln!("{} goes on", self.directory.display());
        }
    }
}

fn command(directory: &Path, ports: u16) -> Command {
    let mut command = Command::new(root().join("scripts/stack"));
    command
        .env("STACK_DIR", directory)
        .env("STACK_PORTS", ports.to_string())
        .env_remove("STACK_TLS")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The address of a database in the replica set that all tests share.
pub fn mongodb(database: &str) -> String {
    database_of(&stack::address("MONGODB_URI"), database)
}

/// The address of a database, from that of its server.
pub fn database_of(uri: &str, database: &str) -> String {
    let (servers, options) = uri.split_once("/?").expect("options");
    format!("{servers}/{database}?{options}")
}
