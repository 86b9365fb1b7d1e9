//! Configuration: environment variables, read once, all mistakes reported together.
//!
//! Numbers that nobody tunes are constants beside the code they are for; what is here differs between deployments.

mod audit;
mod circuits;
mod emitter;
mod external_tokens;
mod fleet;
mod jobs;
mod mail;
mod media;
mod postgres;
mod push;
mod reader;
mod user_agents;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use gateway::Origin;
use ipnet::IpNet;
use protocol::Secret;
use tracing_subscriber::filter::Targets;

pub use audit::AuditConfig;
pub use emitter::EmitterConfig;
pub use external_tokens::{ClaimName, ExternalKeys, ExternalTokensConfig};
pub use fleet::FleetConfig;
pub use jobs::JobsConfig;
pub use mail::{MailConfig, SmtpConfig};
pub use media::MediaConfig;
pub use push::{FcmAccount, NotificationSettings, PrivateKey, PushConfig};
use reader::Reader;
pub use user_agents::UserAgentRules;

use crate::{circuits::CircuitSettings, limits::RateLimits};

/// The settings of one server.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TERTULIA_ENV`: `development` (default) or `production`, which refuses what is only convenient.
    pub production: bool,
    /// `HOST`: the address to listen on; all interfaces by default.
    pub host: IpAddr,
    /// `PORT`: 4000 by default; 0 for any free one.
    pub port: u16,
    /// `DATA_DIR`: where the embedded default keeps everything; `./data` by default.
    pub data_dir: PathBuf,
    /// What is shared with other instances; without it everything is kept in `DATA_DIR`.
    pub fleet: Option<FleetConfig>,
    /// `JWT_SECRET`: signs access tokens, at least 32 bytes. Without it one is made and kept in `DATA_DIR`; a fleet
    /// needs it, the same for every instance.
    pub jwt_secret: Option<Secret>,
    /// The tokens of another application, if they are accepted.
    pub external_tokens: Option<ExternalTokensConfig>,
    /// `PUBLISH_API_KEY`: what other programs publish events with, at least 32 bytes; or several keys, with commas between.
    pub publish_api_keys: Vec<Secret>,
    /// The audit log.
    pub audit: AuditConfig,
    /// Files and images.
    pub media: MediaConfig,
    /// Where jobs are run.
    pub jobs: JobsConfig,
    /// Mail.
    pub mail: MailConfig,
    /// Push.
    pub push: PushConfig,
    /// When those who are away are told.
    pub notifications: NotificationSettings,
    /// What of the official Redis emitter is taken.
    pub emitter: Option<EmitterConfig>,
    /// `ALLOWED_ORIGINS`: origins whose pages may use this server, with commas between, or `*` (default in
    /// development). The server's own pages always may.
    pub allowed_origins: Option<Vec<Origin>>,
    /// `CIRCUIT_POSTGRESQL` and the like: when the circuit of a remote dependency opens.
    pub circuits: CircuitSettings,
    /// `TRUSTED_PROXIES`: addresses and networks, with commas between, whose `X-Forwarded-For` is believed; none by
    /// default.
    pub trusted_proxies: Vec<IpNet>,
    /// `METRICS_HOST`: the address to listen on for operators; the loopback's by default.
    pub metrics_host: IpAddr,
    /// `METRICS_PORT`: 9090 by default; 0 for any free one.
    pub metrics_port: u16,
    /// `INTERNAL_HOST`: the address to listen on for other instances; `HOST` by default.
    pub internal_host: IpAddr,
    /// `INTERNAL_PORT`: 9091 by default; 0 for any free one.
    pub internal_port: u16,
    /// `INTERNAL_ADDRESS`: where other instances reach that listener, with or without its port.
    pub internal_address: Option<InternalAddress>,
    /// `RATE_LIMIT_…`: a variable for each tier.
    pub rate_limits: RateLimits,
    /// `GUESTS`: whether people may come in without an account; by default in development only.
    pub guests: bool,
    /// `MAX_PAYLOAD`: the largest message in bytes, attachments included; 1,000,000 by default.
    pub max_payload: usize,
    /// `PING_INTERVAL_MS`: 25,000 by default.
    pub ping_interval: Duration,
    /// `PING_TIMEOUT_MS`: 20,000 by default.
    pub ping_timeout: Duration,
    /// `MAX_CONNECTIONS`: connections at a time; 1,000,000 by default.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: of them, from one address (IPv6: its /64); a quarter by default.
    pub max_connections_per_address: usize,
    /// `MAX_CONNECTIONS_PER_USER`: of them, of one user; 500 by default.
    pub max_connections_per_user: usize,
    /// `MAX_REQUESTS_PER_USER`: unfinished HTTP requests of one user; 64 by default.
    pub max_requests_per_user: usize,
    /// `MAX_REQUESTS_PER_ADDRESS`: unfinished HTTP requests of strangers at one address; 256 by default.
    pub max_requests_per_address: usize,
    /// `BLOCKED_USER_AGENTS`, `APPROVED_USER_AGENTS`: programs that aren't served; none by default.
    pub user_agents: UserAgentRules,
    /// `HSTS_SECONDS`: for how long browsers may use this host over TLS alone; not said by default.
    pub hsts_seconds: u32,
    /// `MAX_HTTP_CONNECTIONS`: TCP connections at a time that aren't WebSockets; 16,384 by default.
    pub max_http_connections: usize,
    /// `MAX_HTTP_CONNECTIONS_PER_ADDRESS`: of them, from one address (IPv6: its /64); a quarter by default.
    pub max_http_connections_per_address: usize,
    /// `DRAIN_SECONDS`: how long clients are sent away at shutdown, at most; 10 by default.
    pub drain: Duration,
    /// `WORKER_THREADS`: one a core by default.
    pub worker_threads: Option<usize>,
    /// `LOG_LEVEL`: a filter such as `info` (default) or `info,tertulia=debug`.
    pub log_level: String,
    /// `LOG_FORMAT`: `text` (default in development) or `json`.
    pub log_json: bool,
}

/// Where other instances reach this one's internal listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalAddress {
    /// On whatever port it listens.
    Host(IpAddr),
    /// On another one, by way of a mapped port.
    HostAndPort(SocketAddr),
}

impl FromStr for InternalAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self::Host)
            .or_else(|_| text.parse().map(Self::HostAndPort))
    }
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong:")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A secret that can't be guessed by trying has at least as many bytes as the signature.
const MIN_SECRET: usize = 32;

impl Config {
    /// Reads the configuration from `lookup`, which is the environment or a test's own.
    ///
    /// # Errors
    /// All mistakes at once, each by the name of its variable; values of secrets aren't shown.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut reader = Reader {
            lookup: &lookup,
            errors: Vec::new(),
        };
        let production = reader.choice("TERTULIA_ENV", &["development", "production"]) == 1;
        let single_instance = reader.flag("SINGLE_INSTANCE", false);
        let host = reader.parse("HOST", "an IP address", IpAddr::from([0, 0, 0, 0]));
        let tls_ca_file = reader.tls_ca_file();
        let fleet = reader.fleet(tls_ca_file.as_ref());
        let max_http_connections = reader.number("MAX_HTTP_CONNECTIONS", 1, 1_000_000, 16_384);
        let data_dir = reader.text("DATA_DIR").map_or("data".into(), PathBuf::from);
        let port = reader.parse("PORT", "a port number", 4000);
        let max_connections = reader.number("MAX_CONNECTIONS", 1, 10_000_000, 1_000_000);
        let config = Self {
            production,
            host,
            audit: reader.audit(&data_dir),
            mail: reader.mail(&data_dir, port, tls_ca_file.as_deref()),
            push: reader.push(&data_dir, fleet.is_some(), production, tls_ca_file.clone()),
            notifications: reader.notifications(),
            port,
            external_tokens: reader.external_tokens(production, tls_ca_file.clone()),
            data_dir,
            media: reader.media(tls_ca_file.as_ref()),
            jobs: reader.jobs(tls_ca_file.as_ref()),
            emitter: reader.emitter(fleet.as_ref(), tls_ca_file),
            fleet,
            jwt_secret: reader.text("JWT_SECRET").map(Secret::from),
            publish_api_keys: reader.api_keys(),
            allowed_origins: reader.origins(production),
            circuits: reader.circuits(),
            trusted_proxies: reader.networks("TRUSTED_PROXIES"),
            metrics_host: reader.parse(
                "METRICS_HOST",
                "an IP address",
                IpAddr::from([127, 0, 0, 1]),
            ),
            metrics_port: reader.parse("METRICS_PORT", "a port number", 9090),
            internal_host: reader.parse("INTERNAL_HOST", "an IP address", host),
            internal_port: reader.parse("INTERNAL_PORT", "a port number", 9091),
            internal_address: reader.internal_address(),
            rate_limits: reader.rate_limits(),
            guests: reader.flag("GUESTS", !production),
            max_payload: reader.number("MAX_PAYLOAD", 1_000, 100_000_000, 1_000_000),
            ping_interval: reader.millis("PING_INTERVAL_MS", 25_000),
            ping_timeout: reader.millis("PING_TIMEOUT_MS", 20_000),
            max_connections,
            max_connections_per_address: reader.number(
                "MAX_CONNECTIONS_PER_ADDRESS",
                1,
                10_000_000,
                (max_connections / 4).max(1),
            ),
            max_connections_per_user: reader.number("MAX_CONNECTIONS_PER_USER", 1, 1_000_000, 500),
            max_requests_per_user: reader.number("MAX_REQUESTS_PER_USER", 1, 1_000_000, 64),
            max_requests_per_address: reader.number("MAX_REQUESTS_PER_ADDRESS", 1, 1_000_000, 256),
            user_agents: reader.user_agents(),
            hsts_seconds: reader.number("HSTS_SECONDS", 0, 1_000_000_000, 0) as u32,
            max_http_connections,
            max_http_connections_per_address: reader.number(
                "MAX_HTTP_CONNECTIONS_PER_ADDRESS",
                1,
                1_000_000,
                (max_http_connections / 4).max(1),
            ),
            drain: Duration::from_secs(reader.number("DRAIN_SECONDS", 0, 600, 10) as u64),
            worker_threads: reader.optional_number("WORKER_THREADS", 1, 1_024),
            log_level: reader.text("LOG_LEVEL").unwrap_or_else(|| "info".into()),
            log_json: match reader.text("LOG_FORMAT").as_deref() {
                None => production,
                Some("json") => true,
                Some("text") => false,
                Some(_) => reader.wrong("LOG_FORMAT", "text or json"),
            },
        };
        if config
            .jwt_secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < MIN_SECRET)
        {
            reader.wrong("JWT_SECRET", "at least 32 bytes")
        }
        if config.log_level.parse::<Targets>().is_err() {
            reader.wrong("LOG_LEVEL", "a filter such as info or info,tertulia=debug")
        }
        let fleet = reader.wants_fleet();
        if fleet && config.jwt_secret.is_none() {
            reader.errors.push(
                "JWT_SECRET: expected with MONGODB_URI and REDIS_URL: all instances have to sign with the same"
                    .into(),
            );
        }
        if production && !single_instance && !fleet {
            reader.errors.push(
                "SINGLE_INSTANCE: expected true, or MONGODB_URI and REDIS_URL: without other back ends everything is \
                 kept by this one process, which production has to want"
                    .into(),
            );
        }
        if reader.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }

    /// Where other instances reach the internal listener, which is bound to `bound`. `None` if that is every address
    /// of this host and `INTERNAL_ADDRESS` doesn't say which of them others can reach.
    pub fn internal_reach(&self, bound: SocketAddr) -> Option<SocketAddr> {
        match self.internal_address {
            Some(InternalAddress::HostAndPort(address)) => Some(address),
            Some(InternalAddress::Host(host)) => Some(SocketAddr::new(host, bound.port())),
            None => (!bound.ip().is_unspecified()).then_some(bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map_err(|errors| errors.0)
    }

    #[test]
    fn an_empty_environment_is_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.port, config.guests, config.production),
            (4000, true, false)
        );
        assert_eq!(config.allowed_origins, None);
        assert_eq!(config.data_dir, PathBuf::from("data"));
    }

    #[test]
    fn every_mistake_is_listed_without_the_secret() {
        let errors = read(&[
            ("TERTULIA_ENV", "staging"),
            ("HOST", "localhost"),
            ("PORT", "70000"),
            ("JWT_SECRET", "hunter2"),
            ("PUBLISH_API_KEY", "hunter2"),
            ("ALLOWED_ORIGINS", "chat.example.org"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
            ("INTERNAL_HOST", "backend-1"),
            ("INTERNAL_PORT", "-1"),
            ("INTERNAL_ADDRESS", "0.0.0.0"),
            ("GUESTS", "maybe"),
            ("BLOCKED_USER_AGENTS", "bot,,spider"),
            ("HSTS_SECONDS", "a year"),
            ("MAX_REQUESTS_PER_USER", "0"),
            ("CIRCUIT_JWKS", "50%"),
            ("RATE_LIMIT_LOGIN", "five"),
            ("RATE_LIMIT_PUBLISHES", "5/15"),
            ("METRICS_HOST", "metrics"),
            ("METRICS_PORT", "-1"),
            ("MAX_PAYLOAD", "1"),
            ("PING_INTERVAL_MS", "soon"),
            ("DRAIN_SECONDS", "-1"),
            ("WORKER_THREADS", "0"),
            ("LOG_LEVEL", "tertulia=loud"),
            ("LOG_FORMAT", "xml"),
        ])
        .unwrap_err();
        let mut named: Vec<_> = errors
            .iter()
            .map(|e| e.split(':').next().unwrap())
            .collect();
        named.sort_unstable();
        assert_eq!(
            named,
            [
                "ALLOWED_ORIGINS",
                "BLOCKED_USER_AGENTS",
                "CIRCUIT_JWKS",
                "DRAIN_SECONDS",
                "GUESTS",
                "HOST",
                "HSTS_SECONDS",
                "INTERNAL_ADDRESS",
                "INTERNAL_HOST",
                "INTERNAL_PORT",
                "JWT_SECRET",
                "LOG_FORMAT",
                "LOG_LEVEL",
                "MAX_PAYLOAD",
                "MAX_REQUESTS_PER_USER",
                "METRICS_HOST",
                "METRICS_PORT",
                "PING_INTERVAL_MS",
                "PORT",
                "PUBLISH_API_KEY",
                "RATE_LIMIT_LOGIN",
                "RATE_LIMIT_PUBLISHES",
                "TERTULIA_ENV",
                "TRUSTED_PROXIES",
                "WORKER_THREADS",
            ]
        );
        assert!(!errors.concat().contains("hunter2"));
    }

    #[test]
    fn there_may_be_several_api_keys() {
        let keys = |value: &str| {
            let keys = read(&[("PUBLISH_API_KEY", value)])?.publish_api_keys;
            Ok::<_, Vec<String>>(keys.iter().map(|key| key.expose().to_owned()).collect())
        };
        let (one, other) = ("a".repeat(32), "b".repeat(40));
        assert_eq!(keys(""), Ok(Vec::new()));
        assert_eq!(keys(&one), Ok(vec![one.clone()]));
        let both = format!("{one}, {other}");
        assert_eq!(keys(&both), Ok(vec![one.clone(), other]));
        // One that has commas itself.
        let phrase = "a key, of words, and longer than 32 bytes".to_owned();
        assert_eq!(keys(&phrase), Ok(vec![phrase.clone()]));
        let (with_comma, with_short) = (format!("{one},"), format!("{one},short"));
        for wrong in ["short", "short,short", &with_comma, &with_short] {
            assert_eq!(keys(wrong).unwrap_err().len(), 1, "{wrong}");
        }
    }

    #[test]
    fn production_has_to_be_meant() {
        let errors = read(&[("TERTULIA_ENV", "production"), ("ALLOWED_ORIGINS", "*")]).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
        let config = read(&[("TERTULIA_ENV", "production"), ("SINGLE_INSTANCE", "true")]).unwrap();
        assert!(!config.guests && config.log_json);
        assert_eq!(config.allowed_origins, Some(Vec::new()));
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let proxies = |value| read(&[("TRUSTED_PROXIES", value)]).map(|c| c.trusted_proxies);
        assert_eq!(proxies(""), Ok(Vec::new()));
        let networks = proxies("10.0.0.0/8, 192.0.2.1,fd00::/8").unwrap();
        let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
        for wrong in [
            "10.0.0.0/8,",
            "nginx",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/8 192.0.2.1",
        ] {
            assert_eq!(proxies(wrong).unwrap_err().len(), 1, "{wrong}");
        }
    }

    #[test]
    fn others_reach_the_internal_listener_where_it_is_bound_or_said_to_be() {
        let reach = |variables: &[(&str, &str)], bound: &str| {
            let reach = read(variables)
                .unwrap()
                .internal_reach(bound.parse().unwrap());
            reach.map(|address| address.to_string())
        };
        assert_eq!(reach(&[], "0.0.0.0:9091"), None);
        assert_eq!(reach(&[], "[::]:9091"), None);
        assert_eq!(reach(&[], "10.0.0.5:9091").unwrap(), "10.0.0.5:9091");
        let said = |address| [("INTERNAL_ADDRESS", address)];
        assert_eq!(
            reach(&said("10.0.0.5"), "0.0.0.0:4711").unwrap(),
            "10.0.0.5:4711"
        );
        assert_eq!(
            reach(&said("10.0.0.5:80"), "0.0.0.0:4711").unwrap(),
            "10.0.0.5:80"
        );
        assert_eq!(
            reach(&said("[fd00::5]:80"), "[::]:4711").unwrap(),
            "[fd00::5]:80"
        );
        let config = read(&[("HOST", "127.0.0.1")]).unwrap();
        assert_eq!(config.internal_host, config.host);
        assert_eq!(config.internal_port, 9091);
    }

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        let origins = |value| {
            let config = read(&[("ALLOWED_ORIGINS", value)])?;
            let origins = config.allowed_origins.unwrap_or_default();
            let origins = origins.iter().map(|origin| origin.as_str().to_owned());
            Ok::<Vec<_>, Vec<String>>(origins.collect())
        };
        assert_eq!(
            origins("https://A.example:443/, http://localhost:5173").unwrap(),
            ["https://a.example", "http://localhost:5173"]
        );
        assert_eq!(
            origins("capacitor://localhost").unwrap(),
            ["capacitor://localhost"]
        );
        for wrong in [
            "a.example",
            "https://a.example,",
            "https://*.example",
            "null",
        ] {
            assert_eq!(origins(wrong).unwrap_err().len(), 1, "{wrong}");
        }
    }

    const SECRET: (&str, &str) = ("JWT_SECRET", "a secret of at least thirty-two bytes");
    const MONGODB: (&str, &str) = ("MONGODB_URI", "mongodb://ann:hunter2@db/chat");
    const REDIS: (&str, &str) = ("REDIS_URL", "redis://:hunter2@a:1,b:2");

    #[test]
    fn a_fleet_has_its_back_ends_and_one_secret() {
        let production = ("TERTULIA_ENV", "production");
        let config = read(&[production, SECRET, MONGODB, REDIS]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let fleet = config.fleet.unwrap();
        assert_eq!(fleet.mongodb_uri.expose(), MONGODB.1);
        assert_eq!(fleet.redis_url.to_string(), "redis://a:1,b:2");
        assert_eq!(fleet.session_url, fleet.redis_url);
        assert_eq!(fleet.rate_limit_url, fleet.redis_url);
        assert_eq!(fleet.redis_prefix, "tertulia");
        assert!(read(&[]).unwrap().fleet.is_none());
    }

    #[test]
    fn a_redis_can_be_moved_away() {
        let fleet = read(&[
            SECRET,
            MONGODB,
            REDIS,
            ("REDIS_SESSION_URL", "redis://sessions"),
            ("REDIS_RATE_LIMIT_URL", "redis-sentinel://s1,s2/limits"),
            ("REDIS_PREFIX", "chat:eu-1"),
            (
                "TLS_CA_FILE",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ),
        ])
        .unwrap()
        .fleet
        .unwrap();
        assert_eq!(fleet.session_url.to_string(), "redis://sessions:6379");
        let limits = "redis-sentinel://s1:26379,s2:26379/limits";
        assert_eq!(fleet.rate_limit_url.to_string(), limits);
        assert_eq!(fleet.redis_prefix, "chat:eu-1");
        assert!(fleet.redis_options("main").ca_file.is_some());
    }

    #[test]
    fn half_a_fleet_is_none() {
        let named = |variables: &[(&str, &str)]| -> Vec<String> {
            let errors = read(variables).unwrap_err();
            assert!(!errors.concat().contains("hunter2"), "{errors:?}");
            let names = errors
                .iter()
                .map(|error| error.split(':').next().unwrap().to_owned());
            names.collect()
        };
        assert_eq!(named(&[SECRET, MONGODB]), ["REDIS_URL"]);
        assert_eq!(named(&[SECRET, REDIS]), ["MONGODB_URI"]);
        assert_eq!(named(&[MONGODB, REDIS]), ["JWT_SECRET"]);
        let own = ("REDIS_SESSION_URL", "redis://:hunter2@c");
        assert_eq!(named(&[SECRET, own]), ["REDIS_URL"]);
        let wrong = [
            SECRET,
            ("TLS_CA_FILE", "/nowhere"),
            ("MONGODB_URI", "mongodb+srv://ann:hunter2@db"),
            ("REDIS_URL", "http://ann:hunter2@a"),
            ("REDIS_RATE_LIMIT_URL", "redis://hunter2@a"),
            ("REDIS_SESSION_URL", "redis://:hunter2@a:b"),
            ("REDIS_PREFIX", "{a}"),
        ];
        let wanted = wrong[1..].iter().map(|(name, _)| *name);
        assert_eq!(named(&wrong), wanted.collect::<Vec<_>>());
        for uri in ["mongodb://", "mongodb:///chat", "db:27017"] {
            assert_eq!(
                named(&[SECRET, REDIS, ("MONGODB_URI", uri)]),
                ["MONGODB_URI"]
            );
        }
    }

    #[test]
    fn emitters_are_taken_when_that_is_wanted() {
        assert!(read(&[]).unwrap().emitter.is_none());
        let (own, wanted) = (
            ("EMITTER_REDIS_URL", "redis://events"),
            ("EMITTER_NAMESPACES", "/"),
        );
        assert!(read(&[own]).unwrap().emitter.is_none());
        let emitter = read(&[own, wanted]).unwrap().emitter.unwrap();
        assert_eq!(emitter.redis_url.to_string(), "redis://events:6379");
        assert_eq!(
            (emitter.namespaces, &*emitter.key),
            (vec!["/"], "socket.io")
        );
        let key = ("EMITTER_KEY", "chat:events");
        let emitter = read(&[SECRET, MONGODB, REDIS, wanted, key])
            .unwrap()
            .emitter
            .unwrap();
        assert_eq!(emitter.redis_url.to_string(), "redis://a:1,b:2");
        assert_eq!(emitter.key, "chat:events");
        for (variables, name) in [
            (&[wanted][..], "EMITTER_REDIS_URL"),
            (
                &[own, ("EMITTER_NAMESPACES", "/,/nowhere")],
                "EMITTER_NAMESPACES",
            ),
            (
                &[own, ("EMITTER_NAMESPACES", "/admin")],
                "EMITTER_NAMESPACES",
            ),
            (&[own, wanted, ("EMITTER_KEY", "socket.*")], "EMITTER_KEY"),
            (
                &[("EMITTER_REDIS_URL", "events"), wanted],
                "EMITTER_REDIS_URL",
            ),
        ] {
            let errors = read(variables).unwrap_err();
            assert!(
                errors.len() == 1 && errors[0].starts_with(name),
                "{errors:?}"
            );
        }
    }
}
