//! Events from outside: other programs of an organisation send them to connected clients, over HTTP or through Redis
//! ([`emitter`]).
//!
//! What must stay true: a publication was checked by `protocol::publish` before it is one, so that it can't pass for an
//! event of the contract and reaches public topics only. It may be lost, and goes before anything durable does: a client
//! that falls behind loses these first.

mod api_key;
pub mod api_keys;
pub mod emitter;
pub mod emitter_counts;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gateway::{Frame, Hub, RateLimit, RateLimiter};
use protocol::{PublicTopic, PublishRequest};

use self::emitter_counts::EmitterCounts;
use crate::{delivery::TopicEvent, error::AppError, fleet::bus::Bus, topics};

/// Publications a second that one instance takes through Redis: enough for an organisation's programs, and too few to keep a core
/// busy with anything but large audiences. Every instance hears all of them, so each counts for itself; those over HTTP have a
/// tier of the shared rate limits.
const LIMIT: RateLimit = RateLimit {
    per_second: 1_000,
    burst: 2_000,
};

/// One event, for many.
#[derive(Debug)]
pub struct Publication {
    /// In which namespace clients hear it.
    pub namespace: String,
    /// Whoever subscribes to any of these; everybody in the namespace if there are none.
    pub any_of: Vec<PublicTopic>,
    /// But not those who subscribe to any of these.
    pub except: Vec<PublicTopic>,
    /// Its name.
    pub event: String,
    /// Its arguments as JSON, with commas between; placeholders refer to `attachments`.
    pub arguments: String,
    /// What isn't JSON.
    pub attachments: Vec<Bytes>,
}

/// Publishes events from outside.
pub struct Publishing {
    hub: Hub,
    bus: Arc<Bus>,
    emitter_counts: EmitterCounts,
}

impl Publishing {
    /// To the connections of `hub`, and over `bus` to those of other instances.
    pub fn new(hub: Hub, bus: Arc<Bus>) -> Self {
        Self {
            hub,
            bus,
            emitter_counts: EmitterCounts::default(),
        }
    }

    /// What became of the messages of Redis emitters.
    pub fn emitter_counts(&self) -> &EmitterCounts {
        &self.emitter_counts
    }

    /// Publishes an event that a program sent over HTTP.
    ///
    /// # Errors
    /// `invalid` for what isn't a topic of programs.
    pub fn publish(&self, request: PublishRequest) -> Result<(), AppError> {
        self.deliver(Publication {
            any_of: vec![request.to.topic()?],
            except: Vec::new(),
            namespace: request.namespace,
            event: request.event,
            arguments: request.data.to_string(),
            attachments: Vec::new(),
        });
        Ok(())
    }

    /// Delivers an event with one topic and no attachments on every instance.
    fn deliver(&self, publication: Publication) {
        for topic in &publication.any_of {
            let topic = topics::in_namespace(&publication.namespace, &topic.to_string());
            let event = TopicEvent {
                namespace: &publication.namespace,
                name: &publication.event,
                arguments: &publication.arguments,
                volatile: true,
                unless: None,
            };
            self.bus.send(&topic, &event);
        }
        self.deliver_here(publication);
    }

    /// Delivers a publication on this instance, and returns the number of recipients.
    fn deliver_here(&self, publication: Publication) -> usize {
        let namespace = &publication.namespace;
        let names = |topics: &[PublicTopic]| -> Vec<String> {
            let names = topics.iter().map(|topic| topic.to_string());
            names
                .map(|name| topics::in_namespace(namespace, &name))
                .collect()
        };
        let mut any_of = names(&publication.any_of);
        if any_of.is_empty() {
            any_of.push(topics::everybody(namespace));
        }
        if any_of.iter().all(|topic| self.hub.subscribers(topic) == 0) {
            return 0;
        }
        let except = names(&publication.except);
        let frame = Frame::event_from_json(
            namespace,
            &publication.event,
            &publication.arguments,
            publication.attachments,
        );
        let any_of: Vec<&str> = any_of.iter().map(String::as_str).collect();
        let except: Vec<&str> = except.iter().map(String::as_str).collect();
        self.hub.publish_to_any(&any_of, &except, &frame.volatile())
    }
}

/// The rate of publications from Redis.
struct PublishRate {
    started: Instant,
    limiter: RateLimiter,
}

impl PublishRate {
    fn new(now: Instant) -> Self {
        Self {
            started: now,
            limiter: RateLimiter::default(),
        }
    }

    /// Counts a publication.
    ///
    /// # Errors
    /// With the time to wait, beyond [`LIMIT`].
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.started).as_micros() as u64;
        self.limiter.take(LIMIT, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_the_rate() {
        let now = Instant::now();
        let rate = PublishRate::new(now);
        for _ in 0..LIMIT.burst {
            assert!(rate.take(now).is_ok());
        }
        let wait = rate.take(now).unwrap_err();
        assert!(rate.take(now + wait).is_ok());
    }
}
