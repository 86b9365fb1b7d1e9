//! Everything that can stop a run. A client that fails stops the step it belongs to: a figure taken with a lost
//! connection or a lost delivery would be a wrong figure.

use std::io;

/// Why a run, or the part of it that belongs to one server, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something; `doing` says what was tried.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried, for the reader of the message.
        doing: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The server sent something that no Socket.IO server may send, or refused the connection.
    #[error("{0}")]
    Protocol(String),
    /// The server closed a connection that the run still needed.
    #[error("the server closed a connection: {0}")]
    Closed(String),
    /// Client number `client` failed.
    #[error("client {client}: {source}")]
    Client {
        /// The number of the client in its engine, from 0.
        client: usize,
        /// What happened to it.
        source: Box<Error>,
    },
    /// A step did not end in time.
    #[error("{0}")]
    Deadline(String),
    /// Deliveries were lost, repeated or given to the wrong connection.
    #[error("wrong count: {0}")]
    Count(String),
    /// The server process could not be started, or ended by itself.
    #[error("{0}")]
    Server(String),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
}

/// A result of this program.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was being done to an error of the operating system.
pub trait Doing<T> {
    /// Turns the system's error into [`Error::Io`] with these words in front of it.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing: what(),
            source: source.into(),
        })
    }
}
