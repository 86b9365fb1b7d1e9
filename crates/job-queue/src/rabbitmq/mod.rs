//! RabbitMQ between who enqueues jobs and who runs them.
//!
//! A job is in the tables first, which are the broker's outbox: [`RabbitMq::relay`] publishes it, and removes it once the broker has
//! it on the disks of a majority. So nothing is lost while the broker is away, however long that is, and nothing is kept in memory but what is
//! being published. [`RabbitMq::consume`] runs jobs. What failed for good comes back into the tables, where it's listed.
//!
//! What must stay true: a job is acknowledged only once its effect, its next message or its dead letter is durable; a message is
//! taken for published only when the broker has confirmed it and a queue has it.

mod config;
mod consumer;
mod counts;
mod dead_letters;
mod message;
mod publisher;
mod relay;
mod topology;
mod transport;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join;
use lapin::Channel;
use tokio::{sync::watch, time::timeout};

pub use config::RabbitMqConfig;
pub use counts::{BrokerCounts, QueueDepth};

use crate::{Handlers, JobQueue, handlers::Handler};
use consumer::Consumer;
use dead_letters::DeadLetters;
use publisher::Publisher;
use relay::Relay;
use topology::Names;
use transport::Link;

/// Why the broker can't be used now.
#[derive(Debug, Clone, thiserror::Error)]
enum BrokerError {
    #[error("RabbitMQ doesn't answer in time")]
    Silent,
    #[error("RabbitMQ is away")]
    Away,
    #[error("{0}")]
    Refused(lapin::Error),
    #[error("no queue took a message")]
    NotRouted,
    #[error("RabbitMQ didn't confirm a message")]
    NotConfirmed,
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::Refused(error)
    }
}

/// The broker, as one process uses it.
pub struct RabbitMq {
    shared: Arc<Shared>,
    publisher: Arc<Publisher>,
    queue: JobQueue,
}

/// What all connections of a process share.
struct Shared {
    config: RabbitMqConfig,
    tls: Option<Arc<rustls::ClientConfig>>,
    names: Names,
    counts: Arc<BrokerCounts>,
}

impl RabbitMq {
    /// Connects when it's used.
    ///
    /// # Errors
    /// If the address or the certificate authorities can't be read.
    pub fn new(config: RabbitMqConfig, queue: JobQueue) -> Result<Self, io::Error> {
        let tls = config.tls().map_err(io::Error::other)?;
        let names = Names::new(&config.prefix);
        let shared = Arc::new(Shared {
            config,
            tls,
            names,
            counts: Arc::default(),
        });
        Ok(Self {
            publisher: Arc::new(Publisher::new(shared.clone())),
            shared,
            queue,
        })
    }

    /// What was counted.
    pub fn counts(&self) -> &BrokerCounts {
        &self.shared.counts
    }

    /// Publishes jobs from the tables until `stop` is true; what is being published then is waited for.
    pub async fn relay(&self, stop: watch::Receiver<bool>) {
        let relay = Relay::new(self.queue.clone(), self.publisher.clone());
        relay.run(stop).await;
    }

    /// Runs jobs until `stop` is true. Those that run then have `grace` to end; what hasn't is given back.
    pub async fn consume(
        &self,
        handlers: Arc<Handlers>,
        stop: watch::Receiver<bool>,
        grace: Duration,
    ) {
        if handlers.kinds().next().is_none() {
            let mut stop = stop;
            drop(stop.wait_for(|stop| *stop).await.map(drop));
            return;
        }
        let (shared, publisher) = (self.shared.clone(), self.publisher.clone());
        let consumer = Consumer::new(shared.clone(), publisher, handlers.clone(), grace);
        let dead = DeadLetters::new(shared, self.queue.store().clone(), handlers);
        join(consumer.run(stop.clone()), dead.run(stop)).await;
    }

    /// Ends the connection by which jobs are published.
    pub async fn close(&self) {
        self.publisher.close().await;
    }

    /// Fails unless the broker answers.
    ///
    /// # Errors
    /// Says why it doesn't.
    pub async fn ping(&self) -> Result<(), String> {
        let asked = async {
            let channel = self.publisher.channel().await?;
            Ok::<_, BrokerError>(self.shared.names.check(&channel).await?)
        };
        asked.await.map_err(|error| error.to_string())
    }
}

impl Shared {
    /// Channels of a connection, one for all that is shared and one for each kind, whose queues are there.
    async fn channels<'h>(
        &self,
        link: &Link,
        handlers: &'h Handlers,
    ) -> Result<(Channel, Vec<(&'h Arc<Handler>, Channel)>), BrokerError> {
        let setting_up = async {
            let channel = link.connection.create_channel().await?;
            self.names.declare(&channel).await?;
            let mut channels = Vec::new();
            for handler in handlers.iter() {
                let own = link.connection.create_channel().await?;
                self.names.declare_kind(&own, handler.kind).await?;
                channels.push((handler, own));
            }
            Ok((channel, channels))
        };
        let set_up = timeout(LONGEST_PAUSE, setting_up).await;
        set_up.map_err(|_| BrokerError::Silent)?
    }

    /// A connection to a member, any of them first.
    async fn connect(&self, purpose: &str) -> Result<Link, BrokerError> {
        let uris = self.config.uris().map_err(|_| BrokerError::Away)?;
        let first = rand::random_range(0..uris.len());
        let mut failure = BrokerError::Away;
        for uri in uris.iter().cycle().skip(first).take(uris.len()) {
            let name = format!("tertulia {purpose}");
            match Link::open(uri, self.tls.clone(), &name).await {
                Ok(link) => {
                    self.counts.connected();
                    return Ok(link);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// When an attempt to connect may be made after others failed: growing pauses.
struct BackOff {
    next: Instant,
    pause: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

impl BackOff {
    fn new() -> Self {
        Self {
            next: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    /// How long to wait before the next attempt.
    fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    fn failed(&mut self) {
        self.next = Instant::now() + self.pause.mul_f64(rand::random_range(0.75..1.25));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn succeeded(&mut self) {
        *self = Self::new();
    }
}
