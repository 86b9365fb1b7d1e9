//! The built worker as a process of its own, which can be killed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::{
    deadline::within,
    server::{
        api::Api,
        server_process::{collect, piped},
    },
};

/// The worker's program, built with these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_worker-under-test");

/// A running worker; dropping it kills it.
pub struct WorkerProcess {
    operations: SocketAddr,
    child: Child,
}

impl WorkerProcess {
    /// Starts it on a directory, with these variables, and waits until it is ready.
    pub async fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let own = [("DATA_DIR", data.to_str().unwrap())];
        let all = [&own[..], variables].concat();
        let mut child = piped(Command::new(PROGRAM), &all).spawn().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().unwrap(), printed.clone());
        collect(child.stderr.take().unwrap(), printed.clone());
        let text = || String::from_utf8_lossy(&printed.lock()).into_owned();
        let port = within("the line that says where it listens", async {
            loop {
                if let Some((_, rest)) = text().split_once("http://127.0.0.1:")
                    && let Some((port, _)) = rest.split_once("/metrics")
                {
                    return port.parse().unwrap();
                }
                assert_eq!(child.try_wait().unwrap(), None, "{}", text());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let operations = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let api = Api::of(vec![operations]);
        within("a worker that is ready", async {
            while api.get("/health/ready", None).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Self { operations, child }
    }

    /// Where it answers operators.
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// Ends it without any warning.
    ///
    /// # Panics
    /// If it has ended by itself.
    pub async fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None);
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop; returns how it ended.
    pub async fn stop(mut self) -> ExitStatus {
        let id = self.child.id().expect("a running process");
        let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        within("the worker's end", self.child.wait()).await.unwrap()
    }
}
