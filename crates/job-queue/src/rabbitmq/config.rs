//! Where the broker is.

use std::{path::PathBuf, sync::Arc};

use lapin::uri::{AMQPScheme, AMQPUri};
use protocol::Secret;
use rustls::ClientConfig;

/// The longest prefix of names.
const PREFIX_MAX: usize = 64;

/// Seconds between heartbeats: a peer that is silent for twice as long is gone.
const HEARTBEAT: u16 = 10;

/// Where the broker is, and how its queues are called.
#[derive(Debug, Clone)]
pub struct RabbitMqConfig {
    /// `amqp://[user:password@]host[:port][/vhost]`, or with `amqps`; of a cluster several, with commas between.
    pub url: Secret,
    /// What names of exchanges and queues begin with.
    pub prefix: String,
    /// Certificate authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl RabbitMqConfig {
    /// Says what is wrong with it, without the password.
    ///
    /// # Errors
    /// If it can't be used.
    pub fn check(&self) -> Result<(), &'static str> {
        self.uris().map(drop)
    }

    /// Whether names may begin so.
    pub fn is_prefix(prefix: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        !prefix.is_empty() && prefix.len() <= PREFIX_MAX && prefix.bytes().all(allowed)
    }

    /// The members of the cluster.
    pub(super) fn uris(&self) -> Result<Vec<AMQPUri>, &'static str> {
        let expected = "amqp:// or amqps:// with host and port, several with commas between";
        let uri = |text: &str| {
            let mut uri: AMQPUri = text.trim().parse().map_err(|_| expected)?;
            uri.query.heartbeat.get_or_insert(HEARTBEAT);
            Ok(uri)
        };
        self.url.expose().split(',').map(uri).collect()
    }

    /// How certificates are checked, if any member speaks TLS.
    pub(super) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        let uris = self.uris()?;
        if uris.iter().all(|uri| uri.scheme == AMQPScheme::AMQP) {
            return Ok(None);
        }
        let config = tls::trust_system_and(self.ca_file.as_deref())?;
        Ok(Some(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_wrong_is_told_without_its_password() {
        let config = |url: &str| RabbitMqConfig {
            url: url.to_owned().into(),
            prefix: "tertulia".to_owned(),
            ca_file: None,
        };
        let good = "amqp://user:secret@mq-1:5672/chat,amqps://user:secret@mq-2";
        let uris = config(good).uris().unwrap();
        assert_eq!(
            (uris[0].vhost.as_str(), uris[1].vhost.as_str()),
            ("chat", "/")
        );
        assert_eq!(uris[1].authority.port, 5671);
        for bad in ["", "http://secret@mq", "amqp://secret@mq:port"] {
            let error = config(bad).check().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(RabbitMqConfig::is_prefix("a-b.c:d_1") && !RabbitMqConfig::is_prefix("a b"));
    }
}
