//! What a gateway can be told, with bounds that hold for every connection.

use std::time::Duration;

/// Settings of one [`Gateway`](crate::Gateway). Every default is what the official server uses, or a bound that no
/// honest client meets.
#[derive(Debug, Clone)]
pub struct Config {
    /// Request path with both slashes, `/socket.io/` by default.
    pub path: String,
    /// Pause between a pong (or the opening) and the next ping. 25 s.
    pub ping_interval: Duration,
    /// How long a ping may stay unanswered. 20 s.
    pub ping_timeout: Duration,
    /// Time to connect to a first namespace after the opening. 45 s.
    pub connect_timeout: Duration,
    /// Time to finish a request head, or an upgrade that has begun. 10 s.
    pub handshake_timeout: Duration,
    /// Largest message in bytes on every transport, attachments included. 1,000,000.
    pub max_payload: usize,
    /// Bytes queued for one connection before it counts as a slow consumer. 1 MiB.
    pub max_queue: usize,
    /// Connections at a time; more are answered with 503 and `Retry-After`.
    pub max_connections: usize,
    /// New connections a second; more wait in the listener's backlog.
    pub max_accepts_per_second: u32,
    /// Namespaces a connection may be connected to. 8.
    pub max_namespaces: usize,
    /// Topics a connection may be subscribed to. 1,000.
    pub max_topics: usize,
    /// Events of one connection whose answer is outstanding. 1,024.
    pub max_in_flight: u32,
    /// Sustained events a second from one connection. 500.
    pub events_per_second: u32,
    /// Events that may come at once. 2,000.
    pub event_burst: u32,
    /// Events past the burst, each refused, after which the connection is closed. 20,000.
    pub event_abuse: u32,
    /// `Origin`s whose browsers may connect; `None` allows all. Requests without an `Origin` aren't from a browser.
    pub allowed_origins: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".into(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            handshake_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_queue: 1 << 20,
            max_connections: 1_000_000,
            max_accepts_per_second: 20_000,
            max_namespaces: 8,
            max_topics: 1_000,
            max_in_flight: 1_024,
            events_per_second: 500,
            event_burst: 2_000,
            event_abuse: 20_000,
            allowed_origins: None,
        }
    }
}

impl Config {
    pub(crate) fn allows_origin(&self, origin: Option<&[u8]>) -> bool {
        match (&self.allowed_origins, origin) {
            (Some(allowed), Some(origin)) => allowed.iter().any(|a| a.as_bytes() == origin),
            _ => true,
        }
    }
}
