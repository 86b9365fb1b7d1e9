//! What makes a server one of many: where Redis and MongoDB are, for all instances the same.

use std::path::PathBuf;

use protocol::Secret;
use redis_client::{Options, RedisClient, RedisUrl};
use storage::{MongoConfig, PostgresConfig};

use super::reader::Reader;

/// The back ends that the instances of a fleet share.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// `MONGODB_URI`: `mongodb://[user:password@]host[:port],…/[database][?options]`, a replica set or a router.
    pub mongodb_uri: Secret,
    /// `REDIS_URL`: one Redis, Sentinel or a Cluster ([`RedisUrl`] says how). For everything but what follows.
    pub redis_url: RedisUrl,
    /// `REDIS_RATE_LIMIT_URL`: the Redis of rate limits; that of `REDIS_URL` by default.
    pub rate_limit_url: RedisUrl,
    /// `REDIS_SESSION_URL`: the Redis of sessions; that of `REDIS_URL` by default.
    pub session_url: RedisUrl,
    /// `REDIS_PREFIX`: what keys and channels begin with, behind their tag; `tertulia` by default. Fleets that share a
    /// Redis need different ones.
    pub redis_prefix: String,
    /// What is relational, if it is kept at all.
    pub postgres: Option<PostgresConfig>,
    /// `TLS_CA_FILE`: authorities that `rediss://` trusts instead of the system's, in PEM.
    pub tls_ca_file: Option<PathBuf>,
}

impl FleetConfig {
    /// How the store is reached. `redis` is the one of `REDIS_URL`, which reserves `seq`s.
    pub fn store(&self, redis: &RedisClient) -> MongoConfig {
        MongoConfig {
            uri: self.mongodb_uri.clone(),
            redis: redis.clone(),
            key_prefix: self.redis_prefix.clone(),
        }
    }

    /// How the client of a Redis behaves that is for `name`.
    pub fn redis_options(&self, name: &'static str) -> Options {
        Options {
            ca_file: self.tls_ca_file.clone(),
            ..Options::new(name)
        }
    }
}

impl Reader<'_> {
    /// `None` if the server is alone, or if something is wrong.
    pub(super) fn fleet(&mut self, tls_ca_file: Option<&PathBuf>) -> Option<FleetConfig> {
        let mongodb_uri = self.mongodb_uri();
        let redis_url = self.redis_url("REDIS_URL");
        let rate_limit_url = self.redis_url("REDIS_RATE_LIMIT_URL");
        let session_url = self.redis_url("REDIS_SESSION_URL");
        let redis_prefix = self.redis_prefix();
        let postgres = self.postgres(tls_ca_file);
        for (present, other) in [
            ("MONGODB_URI", "REDIS_URL"),
            ("REDIS_URL", "MONGODB_URI"),
            ("REDIS_RATE_LIMIT_URL", "REDIS_URL"),
            ("REDIS_SESSION_URL", "REDIS_URL"),
        ] {
            if self.text(present).is_some() && self.text(other).is_none() {
                self.errors.push(format!(
                    "{other}: expected beside {present}: a fleet needs both MONGODB_URI and REDIS_URL"
                ));
            }
        }
        let redis_url = redis_url?;
        Some(FleetConfig {
            mongodb_uri: mongodb_uri?,
            rate_limit_url: rate_limit_url.unwrap_or_else(|| redis_url.clone()),
            session_url: session_url.unwrap_or_else(|| redis_url.clone()),
            redis_url,
            redis_prefix,
            postgres,
            tls_ca_file: tls_ca_file.cloned(),
        })
    }

    /// Whether the variables of a fleet are there, right or wrong.
    pub(super) fn wants_fleet(&self) -> bool {
        self.text("MONGODB_URI").is_some() || self.text("REDIS_URL").is_some()
    }

    pub(super) fn redis_url(&mut self, name: &str) -> Option<RedisUrl> {
        match self.text(name)?.parse() {
            Ok(url) => Some(url),
            Err(error) => {
                self.errors.push(format!("{name}: {error}"));
                None
            }
        }
    }

    /// The driver looks closer when it connects; here it is made sure that it is for the driver at all.
    fn mongodb_uri(&mut self) -> Option<Secret> {
        let uri = self.text("MONGODB_URI")?;
        match uri.strip_prefix("mongodb://") {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Some(uri.into()),
            _ => self.wrong(
                "MONGODB_URI",
                "mongodb:// and the hosts; mongodb+srv:// isn't supported",
            ),
        }
    }

    fn redis_prefix(&mut self) -> String {
        let prefix = self.text("REDIS_PREFIX");
        let prefix = prefix.unwrap_or_else(|| "tertulia".to_owned());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if prefix.len() <= 64 && prefix.bytes().all(allowed) {
            prefix
        } else {
            self.wrong(
                "REDIS_PREFIX",
                "at most 64 letters, digits, `_`, `-`, `.` or `:`",
            )
        }
    }

    pub(super) fn tls_ca_file(&mut self) -> Option<PathBuf> {
        let path = PathBuf::from(self.text("TLS_CA_FILE")?);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => Some(path),
            _ => self.wrong("TLS_CA_FILE", "a file that can be read"),
        }
    }
}
