//! Events from outside: other programs of the same house send them to connected clients, over HTTP or through Redis
//! (`emitter`).
//!
//! What must stay true: a publication was checked by `protocol::publish` before it is one, so that it can't pass for an
//! event of the contract and reaches public topics only. It may be lost, and goes before anything durable does: a client
//! that falls behind loses these first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::Frame;
use parking_lot::Mutex;
use protocol::{PublicTopic, PublishRequest};

use crate::{api_key::ApiKey, app::App, bus, chat::topics, config::Config, error::AppError};

/// Publications a second that one instance takes, over HTTP and through Redis each: enough for a house's programs, and
/// too few to keep a core busy with anything but large audiences.
const PER_SECOND: u32 = 1_000;

/// At once.
const BURST: u32 = 2 * PER_SECOND;

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

/// Who may publish over HTTP, and how much.
pub struct Publishing {
    /// Without it nobody may.
    pub(crate) key: Option<ApiKey>,
    bucket: Bucket,
}

impl Publishing {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self {
            key: config.publish_api_key.as_ref().map(ApiKey::new),
            bucket: Bucket::full(Instant::now()),
        }
    }

    fn admit(&self, now: Instant) -> Result<(), AppError> {
        if self.bucket.take(now) {
            return Ok(());
        }
        let message = "too many events are published";
        Err(AppError::rate_limited(message, Duration::from_secs(1)).limit(PER_SECOND))
    }
}

/// Publishes what a program asks for.
///
/// # Errors
/// `rate_limited` beyond 1,000 a second.
pub fn publish(app: &App, request: PublishRequest) -> Result<(), AppError> {
    app.publishing.admit(Instant::now())?;
    let publication = Publication {
        any_of: vec![request.to.topic()?],
        except: Vec::new(),
        namespace: request.namespace,
        event: request.event,
        arguments: request.data.to_string(),
        attachments: Vec::new(),
    };
    deliver(app, publication);
    Ok(())
}

/// Delivers what has one topic and no attachments to its audience on every instance.
fn deliver(app: &App, publication: Publication) {
    for topic in &publication.any_of {
        let topic = topics::in_namespace(&publication.namespace, &topic.to_string());
        let notice = bus::Notice {
            namespace: &publication.namespace,
            name: &publication.event,
            arguments: &publication.arguments,
            volatile: true,
            unless: None,
        };
        app.bus.send(&topic, &bus::Message::Notice(notice));
    }
    deliver_here(app, publication);
}

/// Delivers a publication to its audience on this instance, and says how many that were.
pub fn deliver_here(app: &App, publication: Publication) -> usize {
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
    if any_of.iter().all(|topic| app.hub.subscribers(topic) == 0) {
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
    app.hub.publish_to_any(&any_of, &except, &frame.volatile())
}

/// A token bucket.
pub(crate) struct Bucket(Mutex<(f64, Instant)>);

impl Bucket {
    pub(crate) fn full(now: Instant) -> Self {
        Self(Mutex::new((f64::from(BURST), now)))
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let (tokens, last) = &mut *self.0.lock();
        let new = now.saturating_duration_since(*last).as_secs_f64() * f64::from(PER_SECOND);
        *tokens = (*tokens + new).min(f64::from(BURST));
        *last = now.max(*last);
        let any = *tokens >= 1.0;
        if any {
            *tokens -= 1.0;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_up_again() {
        let now = Instant::now();
        let bucket = Bucket::full(now);
        let taken = |now| (0..2 * BURST).filter(|_| bucket.take(now)).count() as u32;
        assert_eq!(taken(now), BURST);
        assert_eq!(taken(now + Duration::from_millis(500)), PER_SECOND / 2);
        assert_eq!(taken(now), 0, "time doesn't run backwards");
        assert_eq!(taken(now + Duration::from_secs(3_600)), BURST);
    }

    #[test]
    fn too_many_are_told_when_to_come_again() {
        let now = Instant::now();
        let publishing = Publishing {
            key: None,
            bucket: Bucket::full(now),
        };
        for _ in 0..BURST {
            assert!(publishing.admit(now).is_ok());
        }
        let refused = publishing.admit(now).unwrap_err().into_body();
        assert_eq!(refused.code, protocol::ErrorCode::RateLimited);
        assert!(
            publishing
                .admit(now + Duration::from_millis(refused.retry_after_ms.unwrap()))
                .is_ok()
        );
    }
}
