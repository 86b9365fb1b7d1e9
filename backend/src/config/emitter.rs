//! Whether, and from where, events of the official `@socket.io/redis-emitter` are taken.

use std::path::PathBuf;

use protocol::PUBLISH_NAMESPACES;
use redis_client::{Options, RedisUrl};

use super::{FleetConfig, reader::Reader};

/// Where the events of existing Node processes come from.
#[derive(Debug, Clone)]
pub struct EmitterConfig {
    /// `EMITTER_NAMESPACES`: those that are taken from outside, with commas between. Without it nothing is.
    pub namespaces: Vec<&'static str>,
    /// `EMITTER_KEY`: the emitters' option `key`; `socket.io` by default.
    pub key: String,
    /// `EMITTER_REDIS_URL`: the Redis that they publish to; that of `REDIS_URL` by default.
    pub redis_url: RedisUrl,
    /// `TLS_CA_FILE`, as for the fleet.
    tls_ca_file: Option<PathBuf>,
}

impl EmitterConfig {
    /// How the subscriber behaves.
    pub fn redis_options(&self) -> Options {
        Options {
            ca_file: self.tls_ca_file.clone(),
            ..Options::new("emitter")
        }
    }
}

impl Reader<'_> {
    /// `None` if nothing is taken, or if something is wrong.
    pub(super) fn emitter(
        &mut self,
        fleet: Option<&FleetConfig>,
        tls_ca_file: Option<PathBuf>,
    ) -> Option<EmitterConfig> {
        let namespaces = self.emitter_namespaces();
        let own_url = self.redis_url("EMITTER_REDIS_URL");
        let key = self.emitter_key();
        let namespaces = namespaces?;
        let redis_url = own_url.or_else(|| fleet.map(|fleet| fleet.redis_url.clone()));
        if redis_url.is_none()
            && self.text("EMITTER_REDIS_URL").is_none()
            && self.text("REDIS_URL").is_none()
        {
            self.errors.push(
                "EMITTER_REDIS_URL: expected beside EMITTER_NAMESPACES, as there is no REDIS_URL"
                    .into(),
            );
        }
        Some(EmitterConfig {
            namespaces,
            key,
            redis_url: redis_url?,
            tls_ca_file,
        })
    }

    fn emitter_namespaces(&mut self) -> Option<Vec<&'static str>> {
        let value = self.text("EMITTER_NAMESPACES")?;
        let mut namespaces = Vec::new();
        for name in value.split(',').map(str::trim) {
            match PUBLISH_NAMESPACES.into_iter().find(|known| *known == name) {
                Some(known) if namespaces.contains(&known) => {}
                Some(known) => namespaces.push(known),
                None => {
                    let known = PUBLISH_NAMESPACES.join(", ");
                    let expected = format!("namespaces with commas between, of {known}");
                    return self.wrong("EMITTER_NAMESPACES", &expected);
                }
            }
        }
        Some(namespaces)
    }

    /// Part of a pattern, so without what patterns give a meaning to.
    fn emitter_key(&mut self) -> String {
        let key = self.text("EMITTER_KEY");
        let key = key.unwrap_or_else(|| "socket.io".to_owned());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
        if key.len() <= 64 && key.bytes().all(allowed) {
            key
        } else {
            let expected = "at most 64 letters, digits, `_`, `-`, `.`, `:` or `/`";
            self.wrong("EMITTER_KEY", expected)
        }
    }
}
