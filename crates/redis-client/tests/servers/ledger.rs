//! Publishes numbered messages all the time, notes what comes in, and judges afterwards: whatever was published and didn't
//! come must be covered by an interruption of its channel, told after it was published. That is all that the bus relies on:
//! at an interruption it compares with the store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis_client::{Interrupted, Received, RedisClient, Subscriber};
use tokio::task::JoinHandle;

use crate::servers::{Servers, until, until_ok};

pub struct Ledger {
    pub client: RedisClient,
    pub subscriber: Subscriber,
    pub channels: Vec<String>,
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
    receiver: JoinHandle<()>,
}

#[derive(Default)]
struct Notes {
    /// By channel: when the publication began of each message that the server took.
    published: HashMap<String, Vec<(u64, Instant)>>,
    received: HashMap<String, HashSet<u64>>,
    /// By channel; and those of all channels.
    interrupted: HashMap<String, Vec<Instant>>,
    all_interrupted: Vec<Instant>,
    repeated: u64,
    of_patterns: u64,
}

impl Ledger {
    /// Subscribes to the channels and publishes on them, on each every few milliseconds.
    pub async fn start(servers: &Servers, url: &str, channels: Vec<String>) -> Self {
        let client = servers.client(url);
        let (subscriber, mut incoming) = servers.subscriber(url, 1 << 16);
        for channel in &channels {
            until_ok("subscribed", async || subscriber.subscribe(channel).await).await;
        }
        let notes = Arc::new(Mutex::new(Notes::default()));
        let taken = Arc::clone(&notes);
        let receiver = tokio::spawn(async move {
            while let Some(received) = incoming.recv().await {
                taken.lock().take(received);
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let publishers = channels
            .iter()
            .map(|channel| {
                let (client, notes, stop) = (client.clone(), Arc::clone(&notes), Arc::clone(&stop));
                tokio::spawn(publish(client, channel.clone(), notes, stop))
            })
            .collect();
        Self {
            client,
            subscriber,
            channels,
            notes,
            stop,
            publishers,
            receiver,
        }
    }

    /// Waits until a message that is published from now on has come on every channel.
    pub async fn flows(&self) {
        let since = Instant::now();
        until("messages flow again", async || {
            let notes = self.notes.lock();
            self.channels.iter().all(|channel| {
                let received = notes.received.get(channel);
                notes
                    .published
                    .get(channel)
                    .into_iter()
                    .flatten()
                    .any(|(number, began)| {
                        *began > since && received.is_some_and(|received| received.contains(number))
                    })
            })
        })
        .await;
    }

    /// Messages that a pattern brought.
    pub fn of_patterns(&self) -> u64 {
        self.notes.lock().of_patterns
    }

    /// The channels that an interruption was told for.
    pub fn interrupted(&self) -> HashSet<String> {
        let notes = self.notes.lock();
        assert!(notes.all_interrupted.is_empty());
        notes.interrupted.keys().cloned().collect()
    }

    /// Ends it and judges.
    pub async fn close(self) {
        self.stop.store(true, Relaxed);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        // What was published last is on its way.
        let notes = Arc::clone(&self.notes);
        until("all has come or is covered", async || {
            notes.lock().missing().is_empty()
        })
        .await;
        let notes = self.notes.lock();
        assert_eq!(notes.repeated, 0);
        assert!(
            notes
                .published
                .values()
                .all(|published| !published.is_empty())
        );
        self.receiver.abort();
    }
}

async fn publish(
    client: RedisClient,
    channel: String,
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
) {
    let mut number: u64 = 0;
    while !stop.load(Relaxed) {
        number += 1;
        let began = Instant::now();
        match client
            .publish_sharded(&channel, &number.to_be_bytes())
            .await
        {
            Ok(_) => notes
                .lock()
                .published
                .entry(channel.clone())
                .or_default()
                .push((number, began)),
            // Nobody promised anything.
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

impl Notes {
    fn take(&mut self, received: Received) {
        match received {
            Received::Message { channel, payload } => {
                let number = u64::from_be_bytes(payload[..].try_into().unwrap());
                let fresh = self
                    .received
                    .entry(channel.to_string())
                    .or_default()
                    .insert(number);
                self.repeated += u64::from(!fresh);
            }
            Received::PatternMessage { .. } => self.of_patterns += 1,
            Received::Interrupted(Interrupted::All) => self.all_interrupted.push(Instant::now()),
            Received::Interrupted(Interrupted::Channels(channels)) => {
                for channel in channels {
                    self.interrupted
                        .entry(channel.to_string())
                        .or_default()
                        .push(Instant::now());
                }
            }
        }
    }

    /// Messages that neither came nor are covered by an interruption.
    fn missing(&self) -> Vec<(&str, u64)> {
        let mut missing = Vec::new();
        for (channel, published) in &self.published {
            let told = self.interrupted.get(channel);
            let last = told
                .into_iter()
                .flatten()
                .chain(&self.all_interrupted)
                .max();
            for (number, began) in published {
                let came = self
                    .received
                    .get(channel)
                    .is_some_and(|received| received.contains(number));
                if !came && last.is_none_or(|last| last < began) {
                    missing.push((channel.as_str(), *number));
                }
            }
        }
        missing
    }
}
