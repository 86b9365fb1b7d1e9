//! One room as its subscribers here see it: the visible head, and the most recent events as ready frames.
//!
//! One lock makes the order: it is held to publish an event and to add a subscriber. So a subscriber gets what it missed up
//! to a head and then every event after it, none twice and none left out, and a crowd that reconnects is served from
//! memory. Where several instances write to a room, an event may arrive before the one that it follows. It waits here.

mod event;
mod pending;
pub(super) mod repair;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gateway::Hub;
use parking_lot::Mutex;
use protocol::RoomId;
use storage::{Head, StoreError};
use tokio::sync::OnceCell;

pub use event::FeedEvent;

use self::pending::Pending;
use crate::{
    fleet::bus::{Bus, Interest},
    topics,
};

/// Events kept for those who come back, and their bytes.
const RECENT_EVENTS: usize = 100;
const RECENT_BYTES: usize = 32 * 1024;

/// How long they are kept: the URLs of what is attached to messages are good for longer.
pub const KEPT: Duration = Duration::from_secs(50 * 60);

/// A room with subscribers.
pub struct RoomFeed {
    id: RoomId,
    topic: String,
    state: Mutex<State>,
    /// Set once the head is known or couldn't be read: read once for all who ask meanwhile.
    loading: OnceCell<Result<(), StoreError>>,
    /// True while it is being compared with the log.
    repairing: AtomicBool,
}

/// What the lock protects.
pub(super) struct State {
    /// `None` while it is read from the store.
    pub(super) head: Option<Head>,
    /// Events that arrived before those that they follow, by `seq`.
    pending: Pending,
    /// For events of other instances; until it is retired.
    interest: Option<Arc<Interest>>,
    /// True if the log may have events that didn't arrive here.
    stale: bool,
    /// The most recent events up to the head, contiguous.
    recent: VecDeque<Arc<FeedEvent>>,
    recent_bytes: usize,
    /// True once it is out of the map: whoever holds it has to look it up again.
    pub(super) retired: bool,
}

/// Held while a feed is compared with its log.
pub(super) struct RepairGuard(Arc<RoomFeed>);

impl Drop for RepairGuard {
    fn drop(&mut self) {
        self.0.repairing.store(false, Ordering::Release);
    }
}

/// What happened to an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Queued for the subscribers, or until the head is known.
    Yes,
    /// It waits for those before it.
    Early,
    /// Too many wait: the feed has to start over.
    TooMany,
}

impl RoomFeed {
    /// A feed that collects events. `all_pending_bytes` counts the bytes of waiting events of all feeds.
    pub(super) fn new(id: RoomId, bus: &Bus, all_pending_bytes: Arc<AtomicUsize>) -> Self {
        let topic = topics::room(&id);
        Self {
            id,
            state: Mutex::new(State {
                head: None,
                pending: Pending::new(all_pending_bytes),
                interest: bus.interest(&topic).map(Arc::new),
                stale: false,
                recent: VecDeque::new(),
                recent_bytes: 0,
                retired: false,
            }),
            topic,
            loading: OnceCell::new(),
            repairing: AtomicBool::new(false),
        }
    }

    /// The room.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// The room's topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The `seq` up to which subscribers have all events; `None` while it isn't known.
    pub fn head_seq(&self) -> Option<u64> {
        self.state.lock().head.as_ref().map(|head| head.seq)
    }

    /// Publishes an event to the subscribers.
    pub(super) fn release(&self, hub: &Hub, event: FeedEvent) -> Released {
        self.state.lock().release(hub, &self.topic, Arc::new(event))
    }

    /// Loads the head by `load`, once for all who ask; whoever asks after a failure gets the same error.
    pub(super) async fn load(
        &self,
        load: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        self.loading.get_or_init(|| load).await.clone()
    }

    /// Waits until events of other instances arrive here.
    pub(super) async fn subscribed(&self) {
        let interest = self.lock().interest.clone();
        if let Some(interest) = interest {
            interest.confirmed().await;
        }
    }

    /// Retires it: whoever holds it has to look up another.
    pub(super) fn retire(&self) {
        self.lock().retire();
    }

    /// The log may have events that didn't arrive here.
    pub(super) fn mark_stale(&self) {
        self.lock().stale = true;
    }

    /// Lets the caller repair it if events are missing, or may be, and no repair is under way.
    pub(super) fn try_repair(self: &Arc<Self>) -> Option<RepairGuard> {
        if !self.needs_repair() {
            return None;
        }
        let is_free = !self.repairing.swap(true, Ordering::AcqRel);
        is_free.then(|| RepairGuard(self.clone()))
    }

    /// True if events are missing, or may be.
    pub(super) fn needs_repair(&self) -> bool {
        let state = self.lock();
        !state.retired && state.head.is_some() && (state.stale || !state.pending.is_empty())
    }

    /// Clears the mark and returns the `seq` after which the log has to be read; `None` if that isn't known.
    pub(super) fn take_stale(&self) -> Option<u64> {
        let mut state = self.lock();
        let head = state.head.as_ref()?.seq;
        state.stale = false;
        Some(head)
    }

    /// The head as read from the store after the feed began to collect events.
    pub(super) fn loaded(&self, hub: &Hub, head: Head) -> Released {
        let mut state = self.state.lock();
        if state.head.is_some() {
            return Released::Yes;
        }
        state.head = Some(head);
        state.release_pending(hub, &self.topic);
        if state.pending.is_empty() {
            Released::Yes
        } else {
            Released::Early
        }
    }
}

impl State {
    fn release(&mut self, hub: &Hub, topic: &str, event: Arc<FeedEvent>) -> Released {
        let head = self.head.as_ref().map(|head| head.seq);
        if head.is_some_and(|head| event.seq <= head) {
            return Released::Yes;
        }
        if head.is_none_or(|head| event.seq > head + 1) {
            if !self.pending.insert(event) {
                return Released::TooMany;
            }
            return if head.is_none() {
                Released::Yes
            } else {
                Released::Early
            };
        }
        self.publish(hub, topic, event);
        self.release_pending(hub, topic);
        Released::Yes
    }

    /// Publishes events that waited, up to the first gap.
    fn release_pending(&mut self, hub: &Hub, topic: &str) {
        while let Some(head) = self.head.as_ref().map(|head| head.seq)
            && let Some(event) = self.pending.take_first(head + 1)
        {
            if event.seq > head {
                self.publish(hub, topic, event);
            }
        }
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.interest = None;
        self.pending.clear();
    }

    /// Publishes the event after the head.
    fn publish(&mut self, hub: &Hub, topic: &str, event: Arc<FeedEvent>) {
        if let Some(head) = &mut self.head {
            head.seq = event.seq;
        }
        match &event.own {
            Some((actor, own)) => {
                hub.publish_variant(topic, &event.frame, topics::mark(actor), own)
            }
            None => hub.publish(topic, &event.frame),
        };
        // A client that resumes before a message that was changed meanwhile is served from the store, which has the
        // message's present state: a deleted text must not come back.
        if let Some(of) = event.rewrites {
            while self.recent.front().is_some_and(|oldest| oldest.seq <= of) {
                self.forget_oldest();
            }
        }
        self.recent_bytes += event.bytes();
        self.recent.push_back(event);
        while self.recent.len() > RECENT_EVENTS || self.recent_bytes > RECENT_BYTES {
            self.forget_oldest();
        }
    }

    /// Forgets events that have been kept for too long, and those before them.
    pub(super) fn forget_outdated(&mut self) {
        let is_outdated = |event: &Arc<FeedEvent>| event.made.elapsed() > KEPT;
        let last = self.recent.iter().rposition(is_outdated);
        for _ in 0..last.map_or(0, |last| last + 1) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.bytes();
        }
    }

    /// Keeps events read from the log up to what was the head then: only if nothing was published meanwhile, which could
    /// have changed a message that was read.
    pub(super) fn remember(&mut self, read: &[Arc<FeedEvent>], up_to: u64) {
        let is_head = self.head.as_ref().is_some_and(|head| head.seq == up_to);
        if !is_head || self.retired {
            return;
        }
        let mut next = self.recent.front().map_or(up_to + 1, |first| first.seq);
        let known = next;
        for event in read.iter().rev().skip_while(|event| event.seq >= known) {
            let bytes = self.recent_bytes + event.bytes();
            if event.seq + 1 != next || self.recent.len() >= RECENT_EVENTS || bytes > RECENT_BYTES {
                return;
            }
            next = event.seq;
            self.recent_bytes = bytes;
            self.recent.push_front(event.clone());
        }
    }

    /// The events after `seq`, up to the head; `None` if they aren't all kept.
    pub(super) fn recent_after(&self, seq: u64) -> Option<Vec<Arc<FeedEvent>>> {
        let head = self.head.as_ref()?.seq;
        if seq >= head {
            return Some(Vec::new());
        }
        let first = self.recent.front()?.seq;
        if seq + 1 < first {
            return None;
        }
        let skipped = (seq + 1 - first) as usize;
        Some(self.recent.iter().skip(skipped).cloned().collect())
    }
}

#[cfg(test)]
mod tests;
