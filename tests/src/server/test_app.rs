//! A server with a data directory of its own, and people who use it.

use std::{ops::Deref, path::Path, sync::Arc};

use tempfile::TempDir;
use tertulia::{config::Config, server};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::api::Api;
pub use super::api::{Answer, Person, person};
use crate::deadline::within;

/// A running server. Dropping it leaves its clients to the end of the test; [`stop`](Self::stop) ends it properly.
pub struct TestApp {
    api: Api,
    data: Arc<TempDir>,
    variables: Vec<(String, String)>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), server::StartError>>,
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
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::start_on(Arc::new(TempDir::new().unwrap()), variables).await
    }

    async fn start_on(data: Arc<TempDir>, variables: Vec<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lookup = |name: &str| {
            let given = variables.iter().find(|(variable, _)| variable == name);
            match (name, given) {
                (_, Some((_, value))) => Some(value.clone()),
                ("DATA_DIR", None) => Some(data.path().display().to_string()),
                ("DRAIN_SECONDS", None) => Some("1".into()),
                _ => None,
            }
        };
        let config = Config::read(lookup).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server::start(config, listener, async {
            // A test that drops the server without stopping it lets it run.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        let app = Self {
            api: Api { address },
            data,
            variables,
            stop,
            running,
        };
        app.get("/health/ready", None).await.expect(200);
        app
    }

    /// Stops the server and waits until everything is written and its directory is free.
    pub async fn stop(self) {
        self.stop.send(()).expect("a running server");
        within("the server's end", self.running)
            .await
            .unwrap()
            .unwrap();
    }

    /// Stops the server and starts another one on the same directory.
    pub async fn restart(self) -> Self {
        let (data, variables) = (self.data.clone(), self.variables.clone());
        self.stop().await;
        Self::start_on(data, variables).await
    }

    /// Where the server keeps everything.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }
}
