//! The built server as a process of its own: for what ends a process, limits it, or is printed by it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
};

use super::api::Api;
use crate::deadline::within;

/// The server's program, built with these tests.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_server-under-test");

/// The server's command line, with these variables and no others of its own.
pub async fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    piped(command, variables)
}

pub fn piped(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command
        .env_clear()
        .env("METRICS_PORT", "0")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A running server; dropping it kills it.
pub struct ServerProcess {
    api: Api,
    operations: Api,
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
    readers: [JoinHandle<()>; 2],
}

impl Deref for ServerProcess {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl ServerProcess {
    /// Starts it on a directory, with these variables.
    pub async fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let data = data.to_str().unwrap();
        let own = [
            ("DATA_DIR", data),
            ("PORT", "0"),
            ("HOST", "127.0.0.1"),
            ("DRAIN_SECONDS", "1"),
        ];
        let all = [&own[..], variables].concat();
        let mut shell = Command::new("/bin/sh");
        // A file that may not grow shall be an error, as on a full disk, not the end.
        shell
            .args(["-c", "trap '' XFSZ; exec \"$0\" serve"])
            .arg(PROGRAM);
        let mut child = piped(shell, &all).spawn().expect("the server");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            collect(child.stdout.take().unwrap(), printed.clone()),
            collect(child.stderr.take().unwrap(), printed.clone()),
        ];
        let (port, operations) = within("the line that says where it listens", async {
            loop {
                if let Some(ports) = ports(&printed.lock()) {
                    return ports;
                }
                assert_eq!(child.try_wait().unwrap(), None, "{}", text(&printed));
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        Self {
            api: Api::of(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]),
            operations: Api::of(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, operations))]),
            child,
            printed,
            readers,
        }
    }

    /// What it serves to operators.
    pub fn operations(&self) -> &Api {
        &self.operations
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("a running process");
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }

    /// No file may grow beyond so many bytes, if any: a disk that is full.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        rustix::process::prlimit(Some(self.pid()), Resource::Fsize, limit).unwrap();
    }

    /// Asks it to stop; returns how it ended and all that it printed.
    pub async fn stop(mut self) -> (ExitStatus, String) {
        rustix::process::kill_process(self.pid(), Signal::TERM).unwrap();
        let status = within("the server's end", self.child.wait()).await.unwrap();
        for reader in self.readers {
            within("the end of what it prints", reader).await.unwrap();
        }
        (status, text(&self.printed))
    }

    /// Has it do nothing from here on.
    pub fn pause(&self) {
        stack::signal_process(self.child.id().unwrap(), "STOP");
    }

    /// Ends it without any warning.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn text(printed: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(printed.lock().clone()).expect("UTF-8")
}

/// Where it listens for clients and for operators.
fn ports(printed: &[u8]) -> Option<(u16, u16)> {
    let printed = String::from_utf8_lossy(printed);
    let port = |before: &str, behind: &str| {
        let (_, rest) = printed.split_once(before)?;
        let (port, _) = rest.split_once(behind)?;
        Some(port.parse().expect("a port"))
    };
    Some((
        port("http://localhost:", "\n")?,
        port("http://127.0.0.1:", "/metrics")?,
    ))
}

pub fn collect(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    to: Arc<Mutex<Vec<u8>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            to.lock().extend_from_slice(&buffer[..read]);
        }
    })
}
