//! Events that existing Node processes publish with the official `@socket.io/redis-emitter`: taken from Redis by every
//! instance and delivered to its own clients.
//!
//! What must stay true: only what was opted in is listened to; the limits are those of every publication
//! (`publish`); requests that would change who is subscribed to what, or end connections, are refused; nothing that
//! comes in can be fatal. What isn't delivered is counted.

mod json;
mod packet;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use redis_client::{Received, Subscriber};

use crate::{
    app::App,
    chat::topics,
    publish::{self, Bucket, Publication},
};

/// Messages that wait while others are delivered; what comes beyond is lost, and counted by the subscriber.
const QUEUE: usize = 10_000;

/// Messages taken in one go.
const BATCH: usize = 100;

/// What became of messages since start.
#[derive(Debug, Default)]
pub struct EmitterCounts {
    delivered: AtomicU64,
    unheard: AtomicU64,
    foreign: AtomicU64,
    malformed: AtomicU64,
    forbidden: AtomicU64,
    too_large: AtomicU64,
    too_many: AtomicU64,
    requests: AtomicU64,
    interruptions: AtomicU64,
}

macro_rules! counts {
    ($($(#[$doc:meta])+ $name:ident),* $(,)?) => {
        impl EmitterCounts {
            $($(#[$doc])+
            pub fn $name(&self) -> u64 {
                self.$name.load(Relaxed)
            })*
        }
    };
}

counts! {
    /// Delivered to somebody.
    delivered,
    /// Delivered to nobody, as nobody here is in its rooms.
    unheard,
    /// Of servers with the official adapter, which are for their own clients.
    foreign,
    /// Not what an emitter writes.
    malformed,
    /// Under a name of the server's own events, or for a topic that isn't public.
    forbidden,
    /// Too large, or for too many rooms.
    too_large,
    /// Beyond the rate.
    too_many,
    /// Requests to join or leave rooms, to disconnect, or to servers: all refused.
    requests,
    /// Times that messages may have been lost on the way.
    interruptions,
}

/// Why a message isn't delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoEmitter,
    Malformed,
    Forbidden,
    TooLarge,
    TooMany,
    Request,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEmitter => "it is another server's own",
            Self::Malformed => "it isn't what an emitter writes",
            Self::Forbidden => "its event's name or its room is the server's own",
            Self::TooLarge => "it is too large, or for too many rooms",
            Self::TooMany => "there are too many",
            Self::Request => "emitters may send events, not requests",
        })
    }
}

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

/// Delivers what comes in, for ever, if that is configured.
pub async fn run(app: &App) {
    let Some(config) = &app.config.emitter else {
        return;
    };
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
            tracing::warn!(%error, pattern, "events of emitters don't come yet");
        }
    }
    let bucket = Bucket::full(Instant::now());
    let mut batch = Vec::with_capacity(BATCH);
    while incoming.recv_many(&mut batch, BATCH).await > 0 {
        for received in batch.drain(..) {
            take(app, &channels, &bucket, received);
        }
        tokio::task::yield_now().await;
    }
}

fn take(app: &App, channels: &[Channels], bucket: &Bucket, received: Received) {
    let counts = &app.emitter_counts;
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
            if nobody_is_in(app, channels, &channel) {
                counts.unheard.fetch_add(1, Relaxed);
                return;
            }
            read(channels, bucket, &payload)
        }
        None => Err(Fault::Request),
    };
    match publication.map(|publication| publish::deliver_here(app, publication)) {
        Ok(0) => counts.unheard.fetch_add(1, Relaxed),
        Ok(_) => counts.delivered.fetch_add(1, Relaxed),
        Err(fault) => counts.refused(fault),
    };
}

/// Whether a message is for one room, as its channel says, which nobody here is in: then it needs no look.
fn nobody_is_in(app: &App, channels: &Channels, channel: &[u8]) -> bool {
    let topic = channels.room(channel).and_then(packet::topic);
    topic.is_some_and(|topic| {
        let topic = topics::in_namespace(channels.namespace, &topic.to_string());
        app.hub.subscribers(&topic) == 0
    })
}

fn read(channels: &Channels, bucket: &Bucket, payload: &[u8]) -> Result<Publication, Fault> {
    if !bucket.take(Instant::now()) {
        return Err(Fault::TooMany);
    }
    packet::read(channels.namespace, payload)
}

impl EmitterCounts {
    /// Counts a message that isn't delivered; the first of each kind is told to the log.
    fn refused(&self, fault: Fault) -> u64 {
        let count = match fault {
            Fault::NoEmitter => return self.foreign.fetch_add(1, Relaxed),
            Fault::Malformed => &self.malformed,
            Fault::Forbidden => &self.forbidden,
            Fault::TooLarge => &self.too_large,
            Fault::TooMany => &self.too_many,
            Fault::Request => &self.requests,
        };
        let before = count.fetch_add(1, Relaxed);
        if before == 0 {
            tracing::warn!(reason = %fault, "a message of an emitter isn't delivered; others like it are only counted");
        }
        before
    }
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

    #[test]
    fn what_is_refused_is_counted_by_its_reason() {
        let counts = EmitterCounts::default();
        for fault in [
            Fault::NoEmitter,
            Fault::Malformed,
            Fault::Request,
            Fault::Request,
        ] {
            counts.refused(fault);
        }
        assert_eq!(
            (counts.foreign(), counts.malformed(), counts.requests()),
            (1, 1, 2)
        );
        assert_eq!(
            (counts.forbidden(), counts.too_large(), counts.too_many()),
            (0, 0, 0)
        );
    }
}
