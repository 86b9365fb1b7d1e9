//! Settings of a client beside its address.

use std::path::PathBuf;
use std::time::Duration;

use metrics::Histogram;

/// How one client behaves. `Options::new("main")` is right for most.
#[derive(Debug, Clone)]
pub struct Options {
    /// What this client is for ("main", "sessions", "rate limits"): used in logs, and in Redis' `CLIENT LIST` as
    /// `tertulia-main`.
    pub name: &'static str,
    /// A PEM file with the authorities that are trusted instead of the system's, for `rediss://`. Read at every connect,
    /// so a new one is taken without a restart.
    pub ca_file: Option<PathBuf>,
    /// A server that sends nothing for this long while commands wait for answers is given up: they fail, and its connection
    /// is made anew. So this bounds how long a command waits, and how soon a server that hangs is noticed. Under load
    /// answers may take longer, as long as they come.
    pub response_timeout: Duration,
    /// How long a new connection may take, TLS and log-in included.
    pub connect_timeout: Duration,
    /// Where it is recorded how many seconds each command took, from its being given to the client to its result. Nowhere
    /// by default.
    pub latency: Histogram,
}

impl Options {
    /// Two seconds for an answer and for a connect, and the system's authorities.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ca_file: None,
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            latency: Histogram::noop(),
        }
    }
}
