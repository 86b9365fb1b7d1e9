//! What all TCP connections of one listener share until they are WebSockets: permits, bytes and times.

use std::{sync::Arc, time::Duration};

use crate::{
    byte_budget::ByteBudget, config::Config, http_permits::HttpPermits, rate_limiter::RateLimit,
    request_body::BodyTimes,
};

/// Bounds of one listener. The largest of all its gateways hold for all of it: which gateway a connection asks for isn't
/// known when it is accepted.
pub(crate) struct ListenerLimits {
    /// Whether it is the one for other instances.
    pub(crate) internal: bool,
    /// New connections.
    pub(crate) accepts: RateLimit,
    pub(crate) permits: HttpPermits,
    /// Request bodies that are being read.
    pub(crate) bodies: Arc<ByteBudget>,
    pub(crate) body_times: BodyTimes,
    pub(crate) write_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    urgent_paths: Vec<String>,
}

impl ListenerLimits {
    pub(crate) fn new<'a>(
        internal: bool,
        configs: impl Iterator<Item = &'a Config> + Clone,
    ) -> Self {
        let largest = |of: fn(&Config) -> usize| configs.clone().map(of).max();
        let bound = |of| largest(of).unwrap_or(usize::MAX);
        let time = |of: fn(&Config) -> Duration| {
            let longest = configs.clone().map(of).max();
            longest.unwrap_or(Duration::from_secs(10))
        };
        let accepts = configs.clone().map(|config| config.max_accepts_per_second);
        let accepts_per_second = accepts.max().unwrap_or(u32::MAX);
        Self {
            internal,
            accepts: RateLimit {
                per_second: accepts_per_second,
                burst: accepts_per_second / 10,
            },
            permits: HttpPermits::new(
                bound(|config| config.max_http_connections).min(usize::MAX / 2),
                bound(|config| config.max_http_connections_of_network),
            ),
            bodies: Arc::new(ByteBudget::new(bound(|config| config.max_bodies))),
            body_times: BodyTimes {
                whole: time(|config| config.body_timeout),
                grace: time(|config| config.body_grace),
                rate: bound(|config| config.body_rate),
            },
            write_timeout: time(|config| config.write_timeout),
            handshake_timeout: time(|config| config.handshake_timeout),
            urgent_paths: configs
                .flat_map(|config| config.urgent_paths.clone())
                .collect(),
        }
    }

    /// Whether requests for `path` are served by a spare permit too.
    pub(crate) fn is_urgent(&self, path: &str) -> bool {
        self.urgent_paths.iter().any(|urgent| urgent == path)
    }
}
