//! The queue between the subscriber's session and whoever receives. Bounded: a receiver that lags loses messages; the
//! interruption that names their channels comes behind what was already waiting.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::Stats;

/// How many bytes of messages may wait, whatever their number.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How many channels an interruption names; beyond, it says all.
const MAX_NAMES: usize = 64 * 1024;

/// One thing that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message of a shard channel.
    Message {
        /// The channel.
        channel: Arc<str>,
        /// What was published.
        payload: Bytes,
    },
    /// A message that a pattern matched.
    PatternMessage {
        /// The pattern, as it was subscribed.
        pattern: Arc<str>,
        /// The channel that it was published on.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
    /// Messages of these channels may have been lost: the connection broke, a slot moved, or the queue was full. Reported when
    /// the subscription works again, so what is published from now on comes, or another interruption.
    Interrupted(Interrupted),
}

/// Which channels an interruption concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// Any of them.
    All,
    /// These channels and patterns.
    Channels(Vec<Arc<str>>),
}

impl Received {
    /// The subscription that brought it.
    fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Message { channel, .. } => Some(channel),
            Self::PatternMessage { pattern, .. } => Some(pattern),
            Self::Interrupted(_) => None,
        }
    }

    /// What it costs to keep, the handle itself aside.
    fn size(&self) -> usize {
        match self {
            Self::Message { payload, .. } => payload.len(),
            Self::PatternMessage {
                channel, payload, ..
            } => channel.len() + payload.len(),
            Self::Interrupted(_) => 0,
        }
    }
}

pub(super) fn queue(capacity: usize, stats: Arc<Stats>) -> (Sender, Incoming) {
    let queue = Arc::new(Queue {
        capacity,
        stats,
        waiting: Mutex::default(),
    });
    (Sender(Arc::clone(&queue)), Incoming(queue))
}

struct Queue {
    capacity: usize,
    stats: Arc<Stats>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Received>,
    bytes: usize,
    /// Channels whose messages may have been lost, not reported yet.
    interrupted: HashSet<Arc<str>>,
    all_interrupted: bool,
    /// How many messages are taken before that is reported: those that came before it.
    reported_after: usize,
    /// The receiver, if it sleeps.
    waker: Option<Waker>,
    /// One of the two ends is gone.
    closed: bool,
}

/// The session's end.
pub(super) struct Sender(Arc<Queue>);

impl Sender {
    /// Appends what was read; `interrupted` are subscriptions that work again. Empties both.
    pub(super) fn send(&self, batch: &mut Vec<Received>, interrupted: &mut Vec<Arc<str>>) {
        if batch.is_empty() && interrupted.is_empty() {
            return;
        }
        let stats = &self.0.stats;
        stats.received.fetch_add(batch.len() as u64, Relaxed);
        stats
            .resubscribed
            .fetch_add(interrupted.len() as u64, Relaxed);
        let mut dropped = 0;
        let mut waiting = self.0.waiting.lock();
        if waiting.closed {
            batch.clear();
            interrupted.clear();
            return;
        }
        for received in batch.drain(..) {
            if waiting.messages.len() < self.0.capacity && waiting.bytes < MAX_BYTES {
                waiting.bytes += received.size();
                waiting.messages.push_back(received);
            } else if let Some(name) = received.name() {
                dropped += 1;
                waiting.interrupt(name.clone());
            }
        }
        for name in interrupted.drain(..) {
            waiting.interrupt(name);
        }
        let waker = waiting.waker.take();
        drop(waiting);
        stats.dropped.fetch_add(dropped, Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.closed = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

impl Waiting {
    fn interrupt(&mut self, name: Arc<str>) {
        if !self.has_interrupted() {
            self.reported_after = self.messages.len();
        }
        if self.all_interrupted || self.interrupted.len() >= MAX_NAMES {
            self.all_interrupted = true;
            self.interrupted = HashSet::new();
        } else {
            self.interrupted.insert(name);
        }
    }

    fn has_interrupted(&self) -> bool {
        self.all_interrupted || !self.interrupted.is_empty()
    }

    fn take(&mut self) -> Option<Received> {
        if self.reported_after == 0 && self.has_interrupted() {
            let names = std::mem::take(&mut self.interrupted);
            return Some(Received::Interrupted(
                if std::mem::take(&mut self.all_interrupted) {
                    Interrupted::All
                } else {
                    Interrupted::Channels(names.into_iter().collect())
                },
            ));
        }
        let received = self.messages.pop_front()?;
        self.bytes -= received.size();
        self.reported_after = self.reported_after.saturating_sub(1);
        Some(received)
    }
}

/// What comes in, in the order of each channel. Dropping it discards whatever comes.
pub struct Incoming(Arc<Queue>);

impl Incoming {
    /// The next message or interruption; `None` once the subscriber is gone and all is taken. Cancel safe.
    pub async fn recv(&mut self) -> Option<Received> {
        poll_fn(|cx| self.poll(cx, Waiting::take)).await
    }

    /// All that has come, up to `limit`, appended to `batch`; waits for the first. The number appended, 0 once the
    /// subscriber is gone. Cheaper than one at a time when much comes. Cancel safe.
    pub async fn recv_many(&mut self, batch: &mut Vec<Received>, limit: usize) -> usize {
        let before = batch.len();
        poll_fn(|cx| {
            self.poll(cx, |waiting| {
                batch.extend(std::iter::from_fn(|| waiting.take()).take(limit));
                (batch.len() > before).then_some(())
            })
        })
        .await;
        batch.len() - before
    }

    fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut take: impl FnMut(&mut Waiting) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut waiting = self.0.waiting.lock();
        match take(&mut waiting) {
            Some(taken) => Poll::Ready(Some(taken)),
            None if waiting.closed => Poll::Ready(None),
            None => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        *waiting = Waiting {
            closed: true,
            ..Waiting::default()
        };
    }
}

#[cfg(test)]
mod tests;
