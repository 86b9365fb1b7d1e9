//! A server with a data directory of its own, or a fleet of two with a database and a prefix of its own, and people
//! who use it. `TERTULIA_TEST_FLEET=1` runs the same tests on the fleet: every request and every connection goes to
//! the other instance than the one before.

use std::{ops::Deref, path::Path, sync::Arc};

use tempfile::TempDir;
use tertulia::{
    admin,
    config::Config,
    server::{self, Listeners},
};
use tokio::{sync::oneshot, task::JoinHandle};

pub use super::api::{Answer, Person, person};
use super::{api::Api, server_process::PROGRAM};
use crate::deadline::within;

/// A running server, or fleet. Dropping it leaves its clients to the end of the test; [`stop`](Self::stop) ends it
/// properly.
pub struct TestApp {
    api: Api,
    operations: Api,
    data: Arc<TempDir>,
    variables: Vec<(String, String)>,
    instances: Vec<Instance>,
}

/// One running server.
struct Instance {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), server::StartError>>,
}

/// Whether tests run on a fleet.
pub fn on_a_fleet() -> bool {
    std::env::var_os("TERTULIA_TEST_FLEET").is_some()
}

impl Deref for TestApp {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl TestApp {
    /// A server as it is by default.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with these environment variables.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        if on_a_fleet() {
            return Self::start_fleet(variables).await;
        }
        Self::start_on(Arc::new(TempDir::new().unwrap()), owned(variables)).await
    }

    /// Two servers of one fleet, on the services that all tests share unless the variables name others.
    pub async fn start_fleet(variables: &[(&str, &str)]) -> Self {
        let mut variables = owned(variables);
        let name = format!("test-{:016x}", rand::random::<u64>());
        let of_fleet = [
            ("MONGODB_URI", stack::mongodb(&name)),
            ("REDIS_URL", stack::address("REDIS_URL")),
            ("REDIS_PREFIX", name),
            ("JWT_SECRET", "a secret that all instances share".to_owned()),
            ("HOST", "127.0.0.1".to_owned()),
            ("INTERNAL_PORT", "0".to_owned()),
        ];
        for (name, value) in of_fleet {
            if !variables.iter().any(|(given, _)| given == name) {
                variables.push((name.to_owned(), value));
            }
        }
        Self::start_on(Arc::new(TempDir::new().unwrap()), variables).await
    }

    /// A server that is alone, for what only concerns its file.
    pub async fn start_embedded() -> Self {
        Self::start_on(Arc::new(TempDir::new().unwrap()), Vec::new()).await
    }

    /// The same with these environment variables.
    pub async fn start_alone_with(variables: &[(&str, &str)]) -> Self {
        Self::start_on(Arc::new(TempDir::new().unwrap()), owned(variables)).await
    }

    async fn start_on(data: Arc<TempDir>, variables: Vec<(String, String)>) -> Self {
        let config = configuration(&data, &variables);
        let count = if config.fleet.is_some() { 2 } else { 1 };
        let mut addresses = Vec::new();
        let mut operations = Vec::new();
        let mut instances = Vec::new();
        for _ in 0..count {
            let listeners = Listeners::bind(&config).await.unwrap();
            addresses.push(listeners.clients.local_addr().unwrap());
            operations.push(listeners.operations.local_addr().unwrap());
            let (stop, stopped) = oneshot::channel();
            let running = tokio::spawn(server::start(config.clone(), listeners, async {
                // A test that drops the server without stopping it lets it run.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            }));
            instances.push(Instance { stop, running });
        }
        for address in &addresses {
            let api = Api::of(vec![*address]);
            within("a server that is ready", async {
                while api.get("/health/ready", None).await.status != 200 {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            })
            .await;
        }
        Self {
            api: Api::of(addresses),
            operations: Api::of(operations),
            data,
            variables,
            instances,
        }
    }

    /// Stops the server and waits until everything is written and its directory is free.
    pub async fn stop(self) {
        self.stop_all().await;
    }

    async fn stop_all(self) -> (Arc<TempDir>, Vec<(String, String)>) {
        let mut ending = Vec::new();
        for Instance { stop, running } in self.instances {
            stop.send(()).expect("a running server");
            ending.push(running);
        }
        for running in ending {
            within("the server's end", running).await.unwrap().unwrap();
        }
        (self.data, self.variables)
    }

    /// Somebody's access token isn't good any more, on any instance: of a fleet, one that didn't end the session itself
    /// hears of it a moment later.
    ///
    /// # Panics
    /// If it is good for long.
    pub async fn is_out(&self, person: &Person) {
        within("the end of a session on every instance", async {
            let mut refused = 0;
            while refused < 2 {
                let answer = self.get("/api/v1/me", Some(person)).await;
                if on_a_fleet() && answer.status == 200 {
                    refused = 0;
                    continue;
                }
                assert_eq!(answer.code(), "unauthenticated");
                refused += 1;
            }
        })
        .await;
    }

    /// Stops the server and starts another one on the same data.
    pub async fn restart(self) -> Self {
        let (data, variables) = self.stop_all().await;
        Self::start_on(data, variables).await
    }

    /// Stops the server, lets somebody at its directory, and starts another one on it.
    pub async fn changed_while_stopped<T>(self, change: impl FnOnce(&Path) -> T) -> (Self, T) {
        let (data, variables) = self.stop_all().await;
        let changed = change(data.path());
        (Self::start_on(data, variables).await, changed)
    }

    /// Registers `name` and makes them an administrator. A server that is alone is stopped for it and started again.
    pub async fn with_administrator(self, name: &str) -> (Self, Person) {
        self.register(name).await;
        let app = if on_a_fleet() {
            admin::grant(&configuration(&self.data, &self.variables), name)
                .await
                .unwrap();
            self
        } else {
            let (data, variables) = self.stop_all().await;
            admin::grant(&configuration(&data, &variables), name)
                .await
                .unwrap();
            Self::start_on(data, variables).await
        };
        let administrator = app.sign_in(name).await;
        (app, administrator)
    }

    /// Makes what its databases lack.
    pub async fn migrate(&self) {
        let config = configuration(&self.data, &self.variables);
        admin::migrate(&config).await.unwrap();
    }

    /// Its configuration, for another program of the same fleet.
    pub fn configuration(&self) -> Config {
        configuration(&self.data, &self.variables)
    }

    /// The variables that its configuration was read from, but for those of one process alone.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// What it serves to operators.
    pub fn operations(&self) -> &Api {
        &self.operations
    }

    /// Where the server keeps everything.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }
}

fn configuration(data: &TempDir, variables: &[(String, String)]) -> Config {
    let lookup = |name: &str| {
        let given = variables.iter().find(|(variable, _)| variable == name);
        match (name, given) {
            (_, Some((_, value))) => Some(value.clone()),
            ("DATA_DIR", None) => Some(data.path().display().to_string()),
            ("DRAIN_SECONDS", None) => Some("1".into()),
            ("HOST", None) => Some("127.0.0.1".into()),
            ("PORT" | "METRICS_PORT", None) => Some("0".into()),
            // This program is that of the tests.
            ("IMAGE_PROGRAM", None) => Some(PROGRAM.into()),
            // Tests ask again and again until something has happened, all of them from one address.
            ("RATE_LIMIT_STRANGERS" | "RATE_LIMIT_PEOPLE" | "RATE_LIMIT_READS", None) => {
                Some("100000/1m".into())
            }
            _ => None,
        }
    };
    Config::read(lookup).unwrap()
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
