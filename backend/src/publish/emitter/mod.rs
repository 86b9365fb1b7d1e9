//! Events that existing Node processes publish with the official `@socket.io/redis-emitter`: taken from Redis by every
//! instance and delivered to its own clients.
//!
//! What must stay true: only what was opted in is listened to; the limits are those of every publication
//! (`publish`); requests that would change who is subscribed to what, or end connections, are refused; nothing that
//! comes in can be fatal. What isn't delivered is counted.

mod json;
mod packet;

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use redis_client::{Received, Subscriber};

use super::{Publication, PublishRate, Publishing, emitter_counts::Fault};
use crate::{config::EmitterConfig, topics};

/// Messages that wait while others are delivered; what comes beyond is lost, and counted by the subscriber.
const QUEUE: usize = 10_000;

/// Messages taken in one go.
const BATCH: usize = 100;

/// The channels of one namespace, as patterns.
struct Channels {
    namespace: &'static str,
    /// Of events: with a room's name behind, if it is for one room.
    events: String,
    /// Of requests.
    requests: String,
}

impl Channels {
    /// The names are the emitter's. No character in them means anything to a pattern but the last.
    fn new(key: &str, namespace: &'static str) -> Self {
        Self {
            namespace,
            events: format!("{key}#{namespace}#*"),
            requests: format!("{key}-request#{namespace}#"),
        }
    }

    /// The room in the name of a channel of events.
    fn room<'a>(&self, channel: &'a [u8]) -> Option<&'a str> {
        let room = channel.get(self.events.len() - 1..)?.strip_suffix(b"#")?;
        std::str::from_utf8(room).ok()
    }
}

/// Delivers what emitters send, for ever.
pub async fn run(publishing: &Publishing, config: &EmitterConfig) {
    let channels: Vec<Channels> = config
        .namespaces
        .iter()
        .map(|namespace| Channels::new(&config.key, namespace))
        .collect();
    let redis = config.redis_url.clone();
    let (subscriber, mut incoming) = Subscriber::new(redis, config.redis_options(), QUEUE);
    for pattern in channels
        .iter()
        .flat_map(|channels| [&channels.events, &channels.requests])
    {
        if let Err(error) = subscriber.subscribe_pattern(pattern).await {
            tracing::warn!(%error, pattern, "events of emitters can't be received yet");
        }
    }
    let rate = PublishRate::new(Instant::now());
    let mut batch = Vec::with_capacity(BATCH);
    while incoming.recv_many(&mut batch, BATCH).await > 0 {
        for received in batch.drain(..) {
            take(publishing, &channels, &rate, received);
        }
        tokio::task::yield_now().await;
    }
}

fn take(publishing: &Publishing, channels: &[Channels], rate: &PublishRate, received: Received) {
    let counts = &publishing.emitter_counts;
    let Received::PatternMessage {
        pattern,
        channel,
        payload,
    } = received
    else {
        counts.interruptions.fetch_add(1, Relaxed);
        return;
    };
    let of = |wanted: fn(&Channels) -> &String| {
        channels
            .iter()
            .find(|channels| **wanted(channels) == *pattern)
    };
    let publication = match of(|channels| &channels.events) {
        Some(channels) => {
            if has_no_subscribers(publishing, channels, &channel) {
                counts.unheard.fetch_add(1, Relaxed);
                return;
            }
            read(channels, rate, &payload)
        }
        None => Err(Fault::Request),
    };
    match publication.map(|publication| publishing.deliver_here(publication)) {
        Ok(0) => counts.unheard.fetch_add(1, Relaxed),
        Ok(_) => counts.delivered.fetch_add(1, Relaxed),
        Err(fault) => counts.refused(fault),
    };
}

/// True if a message is for one room, as its channel says, that has no subscribers here: then it needn't be read.
fn has_no_subscribers(publishing: &Publishing, channels: &Channels, channel: &[u8]) -> bool {
    let topic = channels.room(channel).and_then(packet::topic);
    topic.is_some_and(|topic| {
        let topic = topics::in_namespace(channels.namespace, &topic.to_string());
        publishing.hub.subscribers(&topic) == 0
    })
}

fn read(channels: &Channels, rate: &PublishRate, payload: &[u8]) -> Result<Publication, Fault> {
    if rate.take(Instant::now()).is_err() {
        return Err(Fault::TooMany);
    }
    packet::read(channels.namespace, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_its_room() {
        let channels = Channels::new("socket.io", "/");
        assert_eq!(
            (&*channels.events, &*channels.requests),
            ("socket.io#/#*", "socket.io-request#/#")
        );
        assert_eq!(channels.room(b"socket.io#/#r-1#"), Some("r-1"));
        assert_eq!(channels.room(b"socket.io#/#a#b#"), Some("a#b"));
        assert_eq!(channels.room(b"socket.io#/#"), None);
        assert_eq!(channels.room(b"socket.io#/#\xff#"), None);
        assert_eq!(channels.room(b""), None);
    }
}
