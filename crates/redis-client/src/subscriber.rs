//! Subscriptions: the receiving half of the bus between instances.
//!
//! What must hold: every subscription is restored by itself whatever happened to it, and every message that may have been
//! missed is covered by an interruption, which is reported after the subscription works again. Both are the work of
//! one task (`session`), which owns the connections, one to each master; `registry` has the subscriptions and their
//! states; `incoming` is the bounded queue to the receiver.

mod connection;
mod incoming;
mod registry;
mod request;
mod servers;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use incoming::{Incoming, Interrupted, Received};

use self::request::Request;
use crate::resp::Kind;
use crate::task::Task;
use crate::{Options, RedisError, RedisUrl, Stats};

/// Shard channels and patterns of one Redis, on connections of their own. Dropping it ends them.
pub struct Subscriber {
    /// Grows only by what callers here ask for, and the session takes all of it whenever it wakes.
    requests: mpsc::UnboundedSender<Request>,
    connected: Arc<AtomicBool>,
    stats: Arc<Stats>,
    patience: Duration,
    _session: Task,
}

impl Subscriber {
    /// A subscriber that begins to connect in the background, and what it receives. At most `queue` messages, and 64 MiB
    /// of them, wait to be taken; what comes beyond is dropped and reported as an interruption. Within a Tokio runtime.
    pub fn new(url: RedisUrl, options: Options, queue: usize) -> (Self, Incoming) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let connected = Arc::new(AtomicBool::new(false));
        let stats = Arc::new(Stats::default());
        let patience = options.response_timeout + options.connect_timeout;
        let (sender, incoming) = incoming::queue(queue, Arc::clone(&stats));
        let session = session::run(
            url,
            options,
            receiver,
            sender,
            Arc::clone(&connected),
            Arc::clone(&stats),
        );
        (
            Self {
                requests,
                connected,
                stats,
                patience,
                _session: Task::spawn(session),
            },
            incoming,
        )
    }

    /// Subscribes to a shard channel; resolves once the server has confirmed it, so every message published from then on
    /// comes, or an interruption. Many at once are pipelined. Subscribing twice is the same as once. While the channel's
    /// master is known to be away it fails at once.
    ///
    /// Whatever the error, the channel stays requested, also when this future is dropped: it is subscribed as soon as that is
    /// possible, which an interruption then reports. [`Self::unsubscribe`] withdraws the request.
    pub async fn subscribe(&self, channel: &str) -> Result<(), RedisError> {
        self.request_subscription(Kind::Shard, channel).await
    }

    /// Ends a subscription; a few messages may still come.
    pub fn unsubscribe(&self, channel: &str) {
        self.request_end(Kind::Shard, channel);
    }

    /// Subscribes to the classic channels (`PUBLISH`) that a glob pattern matches, as [`Self::subscribe`] does.
    pub async fn subscribe_pattern(&self, pattern: &str) -> Result<(), RedisError> {
        self.request_subscription(Kind::Pattern, pattern).await
    }

    /// Ends the subscription of a pattern.
    pub fn unsubscribe_pattern(&self, pattern: &str) {
        self.request_end(Kind::Pattern, pattern);
    }

    async fn request_subscription(&self, kind: Kind, name: &str) -> Result<(), RedisError> {
        let (done, confirmed) = oneshot::channel();
        let ended = || RedisError::Unavailable("the subscriber has ended".to_owned());
        self.requests
            .send(Request::Subscribe {
                kind,
                name: name.into(),
                done,
            })
            .map_err(|_| ended())?;
        match timeout(self.patience, confirmed).await {
            Ok(result) => result.unwrap_or_else(|_| Err(ended())),
            Err(_) => Err(RedisError::Unavailable(format!(
                "not subscribed within {:?}",
                self.patience
            ))),
        }
    }

    fn request_end(&self, kind: Kind, name: &str) {
        // Without a session there is nothing to end.
        drop(self.requests.send(Request::Unsubscribe {
            kind,
            name: name.into(),
        }));
    }

    /// Whether every master is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// Counters since start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
