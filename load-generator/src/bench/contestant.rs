//! The servers that are compared, and how each is started.
//!
//! They are interchangeable on the wire: Socket.IO v5 over Engine.IO v4, websocket only, namespace `/`. The event
//! `join` `[room]` is acked; the event `publish` `[room, payload]` makes the server emit `event` `[payload]` to all
//! members of the room, the publisher among them if it is one.

use std::path::Path;

use clap::ValueEnum;

use crate::error::{Error, Result};

/// A server of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Contestant {
    /// The least a server can do.
    Bare,
    /// Tertulia's gateway.
    Gateway,
    /// socketioxide on axum.
    Socketioxide,
    /// Socket.IO on Node.
    Node,
    /// The whole of Tertulia: authenticated chat on SQLite.
    Tertulia,
}

impl Contestant {
    /// Those that are compared by fan-out, in the order in which a round takes them.
    pub const SERVERS: [Self; 4] = [Self::Bare, Self::Gateway, Self::Socketioxide, Self::Node];

    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare send loop",
            Self::Gateway => "Tertulia's gateway",
            Self::Socketioxide => "socketioxide",
            Self::Node => "Socket.IO on Node",
            Self::Tertulia => "Tertulia",
        }
    }

    /// The command that runs it, from the root of the repository. Its port comes from `PORT`.
    ///
    /// # Errors
    /// [`Error::Server`], with the command that builds it, when it isn't built.
    pub fn command(self) -> Result<Vec<String>> {
        let (program, build) = match self {
            Self::Bare => {
                let program = std::env::current_exe()
                    .map_err(|error| Error::Server(format!("the path of this program: {error}")))?;
                return Ok(vec![program.display().to_string(), "bare".into()]);
            }
            Self::Gateway => (
                "target/release/examples/bench_server",
                "cargo build --release -p gateway --example bench_server",
            ),
            Self::Socketioxide => (
                "load-generator/peers/socketioxide/target/release/socketioxide-peer",
                "cargo build --release --manifest-path load-generator/peers/socketioxide/Cargo.toml",
            ),
            Self::Node => {
                let modules = "load-generator/peers/node/node_modules";
                must_exist(modules, "npm ci --prefix load-generator/peers/node")?;
                return Ok(vec![
                    "node".into(),
                    "load-generator/peers/node/server.js".into(),
                ]);
            }
            Self::Tertulia => (
                "target/release/tertulia",
                "cargo build --release -p backend",
            ),
        };
        must_exist(program, build)?;
        Ok(vec![program.into()])
    }
}

/// # Errors
/// [`Error::Server`], with the command that builds it, when a program isn't built.
pub fn must_exist(path: &str, build: &str) -> Result<()> {
    if Path::new(path).exists() {
        return Ok(());
    }
    Err(Error::Server(format!(
        "{path} is missing; in the root of the repository, run: {build}"
    )))
}
