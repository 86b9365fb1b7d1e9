//! A server process for the time of its measurement: started, pinned, waited for, killed by its pid.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    engine::Deadline,
    error::{Doing, Error, Result},
};

const START_TIME: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(20);
/// How much of a failed server's output goes into the report, in bytes.
const LOG_TAIL: usize = 800;

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddrV4,
    log: PathBuf,
}

impl Server {
    /// Starts `command` on a free port of `127.0.0.1` (given as `PORT`), pinned to `core`, with its output in `log`,
    /// and returns once it accepts connections.
    ///
    /// # Errors
    /// [`Error::Server`] when it ends by itself, [`Error::Deadline`] when it takes more than 30 s.
    pub fn start(
        command: &[String],
        settings: &[(&str, String)],
        core: Option<usize>,
        log: &Path,
    ) -> Result<Self> {
        let port = free_port()?;
        let output = File::create(log).doing(|| format!("creating {}", log.display()))?;
        let errors = output
            .try_clone()
            .doing(|| format!("creating {}", log.display()))?;
        let child = pinned(command, core)?
            .env("PORT", port.to_string())
            // One core, one worker: for every server that is built on tokio.
            .env("TOKIO_WORKER_THREADS", "1")
            .env("NODE_ENV", "production")
            // A few users do what many would: their limits are counted, and not reached.
            .envs(
                ["READS", "PEOPLE", "MESSAGES", "EVENTS", "CONNECTS"].map(|tier| {
                    let variable = format!("RATE_LIMIT_{tier}");
                    (variable, "1000000000/1m")
                }),
            )
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing(|| format!("starting {}", command.join(" ")))?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut server = Self {
            child,
            address,
            log: log.into(),
        };
        server.wait_until_it_accepts()?;
        Ok(server)
    }

    fn wait_until_it_accepts(&mut self) -> Result<()> {
        let deadline = Deadline::after(START_TIME);
        while TcpStream::connect(self.address).is_err() {
            self.check_alive()?;
            deadline.check(|| {
                format!(
                    "no connection to {}; its output: {}",
                    self.address,
                    self.log_tail()
                )
            })?;
            thread::sleep(RETRY);
        }
        self.check_alive()
    }

    /// # Errors
    /// [`Error::Server`], with the end of its output, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Server(format!(
                "the server ended ({status}); its output: {}",
                self.log_tail()
            ))),
            Err(error) => Err(error).doing(|| "waiting for the server".into()),
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..])
            .trim()
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("killing process {}: {error}", self.child.id());
        }
    }
}

/// A command that runs pinned to `core` and ends with this process.
///
/// # Errors
/// [`Error::Io`] when this program doesn't know its own path.
pub fn pinned(command: &[String], core: Option<usize>) -> Result<Command> {
    let this = std::env::current_exe().doing(|| "the path of this program".into())?;
    let mut launch = Command::new(this);
    launch.arg("run-pinned");
    if let Some(core) = core {
        launch.arg("--core").arg(core.to_string());
    }
    launch.arg("--").args(command);
    Ok(launch)
}

/// A port that was free a moment ago.
///
/// # Errors
/// [`Error::Io`] when there is none.
pub fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(|| "looking for a free port".into())?;
    Ok(listener
        .local_addr()
        .doing(|| "looking for a free port".into())?
        .port())
}
