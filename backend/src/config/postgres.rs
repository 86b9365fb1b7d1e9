//! Where PostgreSQL is, for what is relational in a fleet, and how many connections an instance may have to it.

use std::path::PathBuf;

use storage::{PostgresConfig, PostgresUrl};

use super::reader::Reader;

/// Connections of one pool, at most: more than one server bears.
const POOL_MAX: usize = 10_000;

/// `DATABASE_WRITE_POOL_SIZE` and `DATABASE_READ_POOL_SIZE` by default.
const WRITE_POOL: usize = 40;
const READ_POOL: usize = 60;

impl Reader<'_> {
    /// `None` without `DATABASE_URL`, or if something is wrong.
    pub(super) fn postgres(&mut self, tls_ca_file: Option<&PathBuf>) -> Option<PostgresConfig> {
        let url = self.text("DATABASE_URL");
        let url = url.and_then(|url| self.postgres_url("DATABASE_URL", &url));
        let replica_urls = self.text("DATABASE_REPLICA_URLS").unwrap_or_default();
        let replica_urls = replica_urls.split(',').map(str::trim);
        let replica_urls: Vec<_> = replica_urls
            .filter(|url| !url.is_empty())
            .filter_map(|url| self.postgres_url("DATABASE_REPLICA_URLS", url))
            .collect();
        let write = self.number("DATABASE_WRITE_POOL_SIZE", 1, POOL_MAX, WRITE_POOL);
        let read = self.number("DATABASE_READ_POOL_SIZE", 1, POOL_MAX, READ_POOL);
        let limit = self.optional_number("DATABASE_CONNECTION_LIMIT", 2, 2 * POOL_MAX);
        if let Some(limit) = limit.filter(|limit| *limit < write + read) {
            self.errors.push(format!(
                "DATABASE_CONNECTION_LIMIT: {limit} is less than DATABASE_WRITE_POOL_SIZE ({write}) and \
                 DATABASE_READ_POOL_SIZE ({read}) together"
            ));
        }
        self.check_postgres_companions();
        Some(PostgresConfig {
            url: url?,
            replica_urls,
            write_pool_size: write as u32,
            read_pool_size: read as u32,
            ca_file: tls_ca_file.cloned(),
        })
    }

    fn check_postgres_companions(&mut self) {
        if self.text("DATABASE_URL").is_some() && !self.wants_fleet() {
            // Half of what it keeps would be elsewhere, and in no backup of the directory.
            self.errors.push(
                "DATABASE_URL: expected only beside MONGODB_URI and REDIS_URL: a server that is alone keeps \
                 everything in DATA_DIR"
                    .into(),
            );
        }
        if self.text("DATABASE_REPLICA_URLS").is_some() && self.text("DATABASE_URL").is_none() {
            self.errors.push(
                "DATABASE_URL: expected beside DATABASE_REPLICA_URLS: writes need the primary"
                    .into(),
            );
        }
    }

    fn postgres_url(&mut self, name: &str, text: &str) -> Option<PostgresUrl> {
        match text.parse() {
            Ok(url) => Some(url),
            Err(error) => {
                self.errors.push(format!("{name}: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const FLEET: [(&str, &str); 3] = [
        ("JWT_SECRET", "a secret of at least thirty-two bytes"),
        ("MONGODB_URI", "mongodb://db/chat"),
        ("REDIS_URL", "redis://a"),
    ];
    const URL: (&str, &str) = ("DATABASE_URL", "postgres://ann:hunter2@db/chat");

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map_err(|errors| errors.to_string())
    }

    fn read_fleet(variables: &[(&str, &str)]) -> Result<Config, String> {
        read(&[&FLEET[..], variables].concat())
    }

    #[test]
    fn a_fleet_may_have_it() {
        assert!(read_fleet(&[]).unwrap().fleet.unwrap().postgres.is_none());
        let replicas = "postgres://one/chat, postgres://two:5433/chat";
        let config = read_fleet(&[URL, ("DATABASE_REPLICA_URLS", replicas)]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let postgres = config.fleet.unwrap().postgres.unwrap();
        assert_eq!(postgres.url.to_string(), "postgres://db:5432/chat");
        let replicas = postgres.replica_urls.iter().map(ToString::to_string);
        assert_eq!(
            replicas.collect::<Vec<_>>(),
            ["postgres://one:5432/chat", "postgres://two:5433/chat"]
        );
        assert_eq!(
            (postgres.write_pool_size, postgres.read_pool_size),
            (40, 60)
        );
        read_fleet(&[URL, ("DATABASE_CONNECTION_LIMIT", "100")]).unwrap();
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        for (variables, names) in [
            (
                &[URL, ("DATABASE_CONNECTION_LIMIT", "99")][..],
                &[
                    "DATABASE_CONNECTION_LIMIT",
                    "DATABASE_WRITE_POOL_SIZE",
                    "DATABASE_READ_POOL_SIZE",
                ][..],
            ),
            (
                &[URL, ("DATABASE_WRITE_POOL_SIZE", "0")],
                &["DATABASE_WRITE_POOL_SIZE"],
            ),
            (
                &[("DATABASE_URL", "mysql://ann:hunter2@db")],
                &["DATABASE_URL"],
            ),
            (
                &[URL, ("DATABASE_REPLICA_URLS", "postgres://one,hunter2")],
                &["DATABASE_REPLICA_URLS"],
            ),
            (
                &[("DATABASE_REPLICA_URLS", "postgres://one")],
                &["DATABASE_URL", "DATABASE_REPLICA_URLS"],
            ),
        ] {
            let errors = read_fleet(variables).unwrap_err();
            assert!(names.iter().all(|name| errors.contains(name)), "{errors}");
            assert!(!errors.contains("hunter2"), "{errors}");
        }
        let alone = read(&[URL]).unwrap_err();
        assert!(
            alone.contains("DATABASE_URL: expected only beside"),
            "{alone}"
        );
    }
}
