//! How PostgreSQL is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use protocol::Secret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::OpenError;

/// The database, unless the address names one.
const DATABASE: &str = "tertulia";

/// Parameters of an address; others are mistakes, which are better met at the start.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What the server is to end by itself, in its own words: a statement that runs for too long, one that waits for another's
/// lock, and a transaction that nobody goes on with.
const SERVER_TIMES: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// The pools of one instance.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// The primary.
    pub url: PostgresUrl,
    /// Its streaming replicas.
    pub replica_urls: Vec<PostgresUrl>,
    /// Connections to the primary for what writes, at most.
    pub write_pool_size: u32,
    /// Connections for reads to each server, at most.
    pub read_pool_size: u32,
    /// Authorities that are trusted beside the system's, in PEM. With them a server has to show a certificate of its name,
    /// unless the address says otherwise.
    pub ca_file: Option<PathBuf>,
}

impl PostgresConfig {
    pub(super) fn options(&self, url: &PostgresUrl) -> Result<PgConnectOptions, OpenError> {
        let malformed = |_| OpenError::Address("it can't be read".to_owned());
        let parsed = url.parse_secret().map_err(OpenError::Address)?;
        let mut options = PgConnectOptions::from_url(&parsed).map_err(malformed)?;
        if options.get_database().is_none() {
            options = options.database(DATABASE);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("tertulia");
        }
        if let Some(file) = &self.ca_file {
            if !parsed.query_pairs().any(|(name, _)| name == "sslmode") {
                options = options.ssl_mode(PgSslMode::VerifyFull);
            }
            options = options.ssl_root_cert(file);
        }
        Ok(options.options(SERVER_TIMES).disable_statement_logging())
    }
}

/// The address of a server: `postgres://[user[:password]@]host[:port][/database][?parameters]`. Shown without credentials
/// and parameters.
#[derive(Debug, Clone)]
pub struct PostgresUrl(Secret);

impl PostgresUrl {
    fn parse_secret(&self) -> Result<Url, String> {
        let url = Url::parse(self.0.expose()).map_err(|error| error.to_string())?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err("expected postgres://".to_owned());
        }
        let is_named = url.host_str().is_some_and(|host| !host.is_empty());
        if !is_named && !url.query_pairs().any(|(name, _)| name == "host") {
            return Err("expected a host".to_owned());
        }
        for (name, value) in url.query_pairs() {
            let is_option = name.starts_with("options[") && name.ends_with(']');
            if !PARAMETERS.contains(&&*name) && !is_option {
                return Err(format!("the parameter {name} isn't known"));
            }
            if name == "sslmode" && value.parse::<PgSslMode>().is_err() {
                return Err(
                    "sslmode isn't one of disable, allow, prefer, require, verify-ca, verify-full"
                        .to_owned(),
                );
            }
        }
        PgConnectOptions::from_url(&url).map_err(|_| "a parameter is malformed".to_owned())?;
        Ok(url)
    }
}

impl FromStr for PostgresUrl {
    type Err = String;

    /// The error doesn't repeat what may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Self(text.into());
        url.parse_secret()?;
        Ok(url)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(url) = self.parse_secret() else {
            return f.write_str("postgres://");
        };
        let host = url.host_str().unwrap_or_default();
        let database = url.path().trim_start_matches('/');
        let database = if database.is_empty() {
            DATABASE
        } else {
            database
        };
        let port = url.port().unwrap_or(5432);
        write!(f, "postgres://{host}:{port}/{database}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, ca_file: Option<&str>) -> PgConnectOptions {
        let config = PostgresConfig {
            url: url.parse().unwrap(),
            replica_urls: Vec::new(),
            write_pool_size: 1,
            read_pool_size: 1,
            ca_file: ca_file.map(PathBuf::from),
        };
        config.options(&config.url).unwrap()
    }

    #[test]
    fn an_address_says_where_and_hides_who() {
        let url: PostgresUrl = "postgresql://ann:hunter2@db.example/chat?sslmode=require"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "postgres://db.example:5432/chat");
        assert!(!format!("{url:?}").contains("hunter2"));
        let url: PostgresUrl = "postgres://127.0.0.1:5433".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://127.0.0.1:5433/tertulia");
        for wrong in [
            "hunter2",
            "mysql://ann:hunter2@db/chat",
            "postgres:///chat",
            "postgres://ann:hunter2@db/chat?sslmode=hunter2",
            "postgres://ann:hunter2@db/chat?passwrd=hunter2",
            "postgres://ann:hunter2@db:port/chat",
        ] {
            let error = wrong.parse::<PostgresUrl>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_authority_of_ones_own_means_that_certificates_are_checked() {
        let is = |url, ca_file, mode: &str| {
            let shown = format!("{:?}", options(url, ca_file).get_ssl_mode());
            assert_eq!(shown, mode, "{url}");
        };
        is("postgres://db", None, "Prefer");
        is("postgres://db", Some("ca.pem"), "VerifyFull");
        is(
            "postgres://db?sslmode=verify-ca",
            Some("ca.pem"),
            "VerifyCa",
        );
        is("postgres://db?sslmode=require", None, "Require");
        assert_eq!(
            options("postgres://db", None).get_database(),
            Some("tertulia")
        );
    }
}
