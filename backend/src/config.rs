//! Configuration: environment variables, read once, all mistakes reported together.
//!
//! Numbers that nobody tunes are constants beside the code they are for; what is here differs between deployments.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use protocol::Secret;

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
    /// `JWT_SECRET`: signs access tokens, at least 32 bytes. Without it one is made and kept in `DATA_DIR`.
    pub jwt_secret: Option<Secret>,
    /// `ALLOWED_ORIGINS`: origins whose pages may use this server, with commas between, or `*` (default in
    /// development). The server's own pages always may.
    pub allowed_origins: Option<Vec<String>>,
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
    /// `DRAIN_SECONDS`: how long clients are sent away at shutdown, at most; 10 by default.
    pub drain: Duration,
    /// `WORKER_THREADS`: one a core by default.
    pub worker_threads: Option<usize>,
    /// `LOG_LEVEL`: a filter such as `info` (default) or `info,tertulia=debug`.
    pub log_level: String,
    /// `LOG_FORMAT`: `text` (default in development) or `json`.
    pub log_json: bool,
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
        let config = Self {
            production,
            host: reader.parse("HOST", "an IP address", IpAddr::from([0, 0, 0, 0])),
            port: reader.parse("PORT", "a port number", 4000),
            data_dir: reader.text("DATA_DIR").map_or("data".into(), PathBuf::from),
            jwt_secret: reader.text("JWT_SECRET").map(Secret::from),
            allowed_origins: reader.origins(production),
            guests: reader.flag("GUESTS", !production),
            max_payload: reader.number("MAX_PAYLOAD", 1_000, 100_000_000, 1_000_000),
            ping_interval: reader.millis("PING_INTERVAL_MS", 25_000),
            ping_timeout: reader.millis("PING_TIMEOUT_MS", 20_000),
            max_connections: reader.number("MAX_CONNECTIONS", 1, 10_000_000, 1_000_000),
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
        if let Some(secret) = &config.jwt_secret
            && secret.expose().len() < MIN_SECRET
        {
            reader.wrong("JWT_SECRET", "at least 32 bytes")
        }
        if tracing_subscriber::EnvFilter::try_new(&config.log_level).is_err() {
            reader.wrong("LOG_LEVEL", "a filter such as info or info,tertulia=debug")
        }
        if production && !single_instance {
            reader.errors.push(
                "SINGLE_INSTANCE: expected true: without other back ends everything is kept by this one process, \
                 which production has to want"
                    .into(),
            );
        }
        if reader.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<String>,
}

impl Reader<'_> {
    /// A variable's value; empty is as good as absent.
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Notes a mistake; the value in its place is never used.
    fn wrong<T: Default>(&mut self, name: &str, expected: &str) -> T {
        self.errors.push(format!("{name}: expected {expected}"));
        T::default()
    }

    fn parse<T: FromStr>(&mut self, name: &str, expected: &str, default: T) -> T {
        match self.text(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                let () = self.wrong(name, expected);
                default
            }
        }
    }

    fn optional_number(&mut self, name: &str, min: usize, max: usize) -> Option<usize> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ => self.wrong(name, &format!("a whole number from {min} to {max}")),
        }
    }

    fn number(&mut self, name: &str, min: usize, max: usize, default: usize) -> usize {
        self.optional_number(name, min, max).unwrap_or(default)
    }

    fn millis(&mut self, name: &str, default: usize) -> Duration {
        Duration::from_millis(self.number(name, 10, 3_600_000, default) as u64)
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.text(name).as_deref() {
            None => default,
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(_) => self.wrong(name, "true or false"),
        }
    }

    /// The index of the value among `choices`; the first by default.
    fn choice(&mut self, name: &str, choices: &[&str]) -> usize {
        let Some(value) = self.text(name) else {
            return 0;
        };
        match choices.iter().position(|choice| *choice == value) {
            Some(index) => index,
            None => self.wrong(name, &choices.join(" or ")),
        }
    }

    fn origins(&mut self, production: bool) -> Option<Vec<String>> {
        let Some(value) = self.text("ALLOWED_ORIGINS") else {
            return production.then(Vec::new);
        };
        if value.trim() == "*" {
            if production {
                return self.wrong("ALLOWED_ORIGINS", "origins by name in production, not *");
            }
            return None;
        }
        let origins: Vec<String> = value
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/').to_owned())
            .collect();
        let is_origin = |origin: &String| {
            origin.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '*', ' '])
            })
        };
        if origins.iter().all(is_origin) {
            Some(origins)
        } else {
            self.wrong(
                "ALLOWED_ORIGINS",
                "* or origins such as https://chat.example.org with commas between",
            )
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
            ("ALLOWED_ORIGINS", "chat.example.org"),
            ("GUESTS", "maybe"),
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
                "DRAIN_SECONDS",
                "GUESTS",
                "HOST",
                "JWT_SECRET",
                "LOG_FORMAT",
                "LOG_LEVEL",
                "MAX_PAYLOAD",
                "PING_INTERVAL_MS",
                "PORT",
                "TERTULIA_ENV",
                "WORKER_THREADS",
            ]
        );
        assert!(!errors.concat().contains("hunter2"));
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
    fn origins_are_taken_as_browsers_send_them() {
        let config = read(&[(
            "ALLOWED_ORIGINS",
            "https://a.example/, http://localhost:5173",
        )])
        .unwrap();
        assert_eq!(
            config.allowed_origins,
            Some(vec![
                "https://a.example".into(),
                "http://localhost:5173".into()
            ])
        );
    }
}
