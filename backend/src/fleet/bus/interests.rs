//! Interest of this instance in topics: the first holder subscribes to the topic's channel, the last one unsubscribes.

use std::sync::Arc;

use dashmap::{DashMap, Entry};
use redis_client::Subscriber;

use super::channels::Channels;

/// The topics that this instance is interested in.
pub(super) struct Interests {
    channels: Channels,
    subscriber: Subscriber,
    /// The number of holders by topic. A subscription is ended under the entry's lock.
    topics: DashMap<String, usize>,
}

impl Interests {
    pub(super) fn new(channels: Channels, subscriber: Subscriber) -> Self {
        Self {
            channels,
            subscriber,
            topics: DashMap::new(),
        }
    }

    /// Registers interest in `topic`; messages arrive from the return of [`Interest::confirmed`] on.
    pub(super) fn register(self: &Arc<Self>, topic: &str) -> Interest {
        match self.topics.get_mut(topic) {
            Some(mut holders) => *holders += 1,
            None => *self.topics.entry(topic.to_owned()).or_default() += 1,
        }
        Interest {
            interests: self.clone(),
            topic: topic.to_owned(),
        }
    }

    /// The number of topics.
    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// True if all subscriptions are active.
    pub(super) fn is_connected(&self) -> bool {
        self.subscriber.is_connected()
    }
}

/// Interest in what other instances send on a topic, until it is dropped.
pub struct Interest {
    interests: Arc<Interests>,
    topic: String,
}

impl Interest {
    /// Waits until the subscription is active: what others send from then on arrives here. While Redis is away it returns
    /// at once; the interruption reported when Redis is back makes up for it.
    pub async fn confirmed(&self) {
        let channel = self.interests.channels.of_topic(&self.topic);
        if let Err(error) = self.interests.subscriber.subscribe(&channel).await {
            tracing::debug!(%error, "a topic is not subscribed yet");
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let topic = std::mem::take(&mut self.topic);
        let channel = self.interests.channels.of_topic(&topic);
        if let Entry::Occupied(mut holders) = self.interests.topics.entry(topic) {
            *holders.get_mut() -= 1;
            if *holders.get() == 0 {
                // Under the entry's lock, so that the next holder subscribes after this.
                self.interests.subscriber.unsubscribe(&channel);
                holders.remove();
            }
        }
    }
}
