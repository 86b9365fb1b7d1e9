//! The other end of [`crate::clients`]: the process that is the clients of one server.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddrV4,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use super::server::pinned;
use crate::{
    clients::{Answer, Order},
    error::{Doing, Error, Result},
    fan_out::{Load, Outcome, Rooms},
};

/// The clients of one server. Dropping it kills the process.
pub struct ClientProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl ClientProcess {
    /// Starts the process, without a connection yet, pinned to `core`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be started.
    pub fn start(server: SocketAddrV4, core: Option<usize>) -> Result<Self> {
        let this = std::env::current_exe().doing(|| "the path of this program".into())?;
        let command = [
            this.display().to_string(),
            "clients".into(),
            server.to_string(),
        ];
        let mut child = pinned(&command, core)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing(|| "starting clients".into())?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(orders), Some(answers)) => Ok(Self {
                child,
                orders,
                answers: BufReader::new(answers),
            }),
            _ => Err(Error::Server("the clients have no pipes".into())),
        }
    }

    /// Opens `count` more connections and returns the time it took.
    ///
    /// # Errors
    /// What the clients report.
    pub fn open(&mut self, count: usize) -> Result<Duration> {
        self.order(&Order::Open(count))
    }

    /// Lets clients join their rooms.
    ///
    /// # Errors
    /// What the clients report.
    pub fn join(&mut self, rooms: Rooms) -> Result<Duration> {
        self.order(&Order::Join(rooms))
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// What the clients report.
    pub fn close(&mut self) -> Result<Duration> {
        self.order(&Order::Close)
    }

    /// Publishes to rooms.
    ///
    /// # Errors
    /// What the clients report; a wrong count of deliveries is one.
    pub fn publish(&mut self, rooms: Rooms, load: Load) -> Result<Outcome> {
        match self.ask(&Order::Publish(rooms, load))? {
            Answer::Published(outcome) => Ok(outcome),
            other => Err(failure(other)),
        }
    }

    fn order(&mut self, order: &Order) -> Result<Duration> {
        match self.ask(order)? {
            Answer::Done(time) => Ok(time),
            other => Err(failure(other)),
        }
    }

    /// The answer always comes: every order has its time, and a process that ends closes its output.
    fn ask(&mut self, order: &Order) -> Result<Answer> {
        let mut line =
            serde_json::to_string(order).map_err(|error| Error::Usage(error.to_string()))?;
        line.push('\n');
        // Clients that have failed meanwhile say why before they end.
        let asked = self
            .orders
            .write_all(line.as_bytes())
            .doing(|| "ordering".into());
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .doing(|| "reading the clients' answer".into())?;
        if answer.is_empty() {
            return asked.and(Err(Error::Server("the clients' process ended".into())));
        }
        serde_json::from_str(&answer).map_err(|error| Error::Server(error.to_string()))
    }
}

fn failure(answer: Answer) -> Error {
    match answer {
        Answer::Failed(reason) => Error::Server(reason),
        other => Error::Server(format!("the clients answered something else: {other:?}")),
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("killing process {}: {error}", self.child.id());
        }
    }
}
