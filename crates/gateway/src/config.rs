//! Settings of a gateway, with the bounds that hold for every connection.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{HOST, ORIGIN},
};
use ipnet::IpNet;

use crate::{
    header_list, instance::InstanceId, origin::Origin, peers::Peers,
    trusted_proxies::FORWARDED_PROTO,
};

/// Settings of one [`Gateway`](crate::Gateway). Every default is that of the official server, or a bound that ordinary
/// clients don't reach.
#[derive(Debug, Clone)]
pub struct Config {
    /// Request path with both slashes, `/socket.io/` by default; see [`serves`](Self::serves).
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
    /// Bytes of one message, and of all of its attachments, from a client that hasn't connected to a namespace yet.
    /// 64 KiB.
    pub max_first_message: usize,
    /// Bytes of unfinished messages that clients who haven't connected to a namespace yet may have sent, together. A
    /// quarter of it for one network. Beyond that they are told to try again. 32 MiB.
    pub max_first_input: usize,
    /// The same of all other clients. 128 MiB.
    pub max_input: usize,
    /// Bytes queued for clients that don't take them just now, together. A quarter of it for one network. Beyond that
    /// the one for whom more is queued counts as a slow consumer. 512 MiB.
    pub max_queues: usize,
    /// Connections at a time; more are answered with 503 and `Retry-After`.
    pub max_connections: usize,
    /// Of them, those from one network. 250,000.
    pub max_connections_of_network: usize,
    /// TCP connections at a time that aren't a WebSocket (yet): unfinished handshakes, polls, all other requests. More
    /// are answered with 503 and `Retry-After`. Beyond it there is room for WebSocket handshakes, and for requests of
    /// [`urgent_paths`](Self::urgent_paths). 16,384.
    pub max_http_connections: usize,
    /// Of them, those from one network, unless it is of a trusted proxy. 4,096.
    pub max_http_connections_of_network: usize,
    /// Paths of requests that are served even then, each on a connection of its own. None by default.
    pub urgent_paths: Vec<String>,
    /// Bytes of unfinished request bodies, together, beside those of polling clients. A quarter of it for one network.
    /// 64 MiB.
    pub max_bodies: usize,
    /// Time for the body of a request, unless it is of a polling client. 20 s.
    pub body_timeout: Duration,
    /// Time before a body has to have come at the least rate. 5 s.
    pub body_grace: Duration,
    /// Bytes a second of a body, at least. 1,024.
    pub body_rate: usize,
    /// How long a client may take nothing of an answer over HTTP. 30 s.
    pub write_timeout: Duration,
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
    /// `Origin`s whose pages may connect beside the server's own; `None` allows all. Requests without an `Origin`
    /// aren't a page's.
    pub allowed_origins: Option<Vec<Origin>>,
    /// Proxies that are trusted to say where a client is (`X-Forwarded-For`: the last address in it that isn't
    /// trusted itself), and from which host and by which scheme a page was loaded (`X-Forwarded-Host` and `-Proto`).
    /// None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether new connections are told to try again until [`Gateway::admit`](crate::Gateway::admit). False by default.
    pub hold: bool,
    /// This instance among all of the fleet. A random one by default, which nobody has claimed.
    pub instance: InstanceId,
    /// The other instances. None by default; clones share them.
    pub peers: Peers,
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
            max_first_message: 64 << 10,
            max_first_input: 32 << 20,
            max_input: 128 << 20,
            max_queues: 512 << 20,
            max_connections: 1_000_000,
            max_connections_of_network: 250_000,
            max_http_connections: 16_384,
            max_http_connections_of_network: 4_096,
            urgent_paths: Vec::new(),
            max_bodies: 64 << 20,
            body_timeout: Duration::from_secs(20),
            body_grace: Duration::from_secs(5),
            body_rate: 1_024,
            write_timeout: Duration::from_secs(30),
            max_accepts_per_second: 20_000,
            max_namespaces: 8,
            max_topics: 1_000,
            max_in_flight: 1_024,
            events_per_second: 500,
            event_burst: 2_000,
            event_abuse: 20_000,
            allowed_origins: None,
            trusted_proxies: Vec::new(),
            hold: false,
            instance: InstanceId::random(),
            peers: Peers::default(),
        }
    }
}

impl Config {
    /// Bytes that a connection's unfinished events may be worth in answers before it isn't read on. Small, since what
    /// they cause is queued beside the answers: the client's own copies of its messages.
    pub(crate) fn max_owed(&self) -> usize {
        self.max_queue / 8
    }

    /// How long a client that lives may stay silent, and therefore take for one request body or one set of attachments.
    pub(crate) fn silence(&self) -> Duration {
        self.ping_interval + self.ping_timeout
    }

    /// Whether a request for `path` is for this gateway: its slashes may be doubled, and the last one missing.
    pub fn serves(&self, path: &str) -> bool {
        fn segments(path: &str) -> impl Iterator<Item = &str> {
            path.split('/').filter(|segment| !segment.is_empty())
        }
        path == self.path || segments(path).eq(segments(&self.path))
    }

    /// Whether a request with these headers may open a connection: no browser's, of the server's own pages, or of an
    /// allowed origin.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        let (Some(allowed), Some(origin)) = (&self.allowed_origins, headers.get(ORIGIN)) else {
            return true;
        };
        let Some(origin) = origin.to_str().ok().and_then(|o| o.parse().ok()) else {
            return false;
        };
        allowed.contains(&origin) || own(headers, &origin).as_ref() == Some(&origin)
    }
}

/// The origin of the server's own pages, as far as the headers of a request say; otherwise it has the scheme of `origin`.
fn own(headers: &HeaderMap, origin: &Origin) -> Option<Origin> {
    let scheme = header_list::elements(headers, &FORWARDED_PROTO).next_back();
    let scheme = match scheme.map(str::to_ascii_lowercase).as_deref() {
        // As some proxies say it of an upgrade.
        Some("wss") => "https",
        Some("ws") => "http",
        Some("https") => "https",
        Some("http") => "http",
        Some(_) => return None,
        None => origin.as_str().split_once("://")?.0,
    };
    let host = headers.get(HOST)?.to_str().ok()?;
    format!("{scheme}://{host}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_server_and_of_allowed_origins_may_connect() {
        let config = |allowed: Option<&[&str]>| Config {
            allowed_origins: allowed.map(|a| a.iter().map(|o| o.parse().unwrap()).collect()),
            ..Config::default()
        };
        let headers = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, http::HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, http::HeaderValue::from_static(origin));
            }
            headers
        };
        const CHAT: &str = "chat.example:4000";
        let some = config(Some(&["https://App.Example:443"]));
        for (host, origin, allowed) in [
            (CHAT, None, true),
            (CHAT, Some("https://chat.example:4000"), true),
            (CHAT, Some("https://app.example"), true),
            (CHAT, Some("https://app.example.evil"), false),
            (CHAT, Some("http://app.example"), false),
            (CHAT, Some("https://chat.example"), false),
            (CHAT, Some("null"), false),
            ("chat.example:443", Some("https://chat.example"), true),
            ("Chat.Example", Some("http://chat.example"), true),
            ("chat.example:80", Some("https://chat.example"), false),
        ] {
            assert_eq!(
                some.allows(&headers(host, origin)),
                allowed,
                "{host} {origin:?}"
            );
        }
        assert!(config(None).allows(&headers(CHAT, Some("https://evil.example"))));
        let loaded_by = |schemes: &[&'static str]| {
            let mut headers = headers(CHAT, Some("https://chat.example:4000"));
            for scheme in schemes {
                headers.append(FORWARDED_PROTO, http::HeaderValue::from_static(scheme));
            }
            some.allows(&headers)
        };
        assert!(loaded_by(&["https"]) && loaded_by(&["WSS"]) && loaded_by(&["http, https"]));
        assert!(loaded_by(&["http", "https"]) && !loaded_by(&["https", "http"]));
        assert!(!loaded_by(&["http"]) && !loaded_by(&["ws"]) && !loaded_by(&["gopher"]));
    }

    #[test]
    fn slashes_make_no_other_path() {
        let config = Config::default();
        for path in ["/socket.io/", "/socket.io", "//socket.io/", "/socket.io//"] {
            assert!(config.serves(path), "{path}");
        }
        for path in ["/", "", "/socket.io/x", "/socketXio/", "/x/socket.io/"] {
            assert!(!config.serves(path), "{path}");
        }
    }
}
