//! One room as its subscribers here see it: the visible head, and the last events as ready frames.
//!
//! Everything that makes the order is under one lock: publishing an event, and letting a subscriber in. So whoever
//! subscribes gets what was missed up to a head, and then every event after it, none twice and none left out, and a
//! crowd that reconnects is served from memory. Where several instances write to a room, an event may come before the
//! one that it follows; it waits for it here.

mod pending;

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use gateway::{Frame, Hub};
use parking_lot::Mutex;
use protocol::{RoomEvent, RoomId, UserId};
use storage::{Head, Occurrence, StoreError, StoredEvent};
use tokio::sync::OnceCell;

use self::pending::Pending;
use super::{topics, wire};
use crate::bus::{self, Bus, Interest};

/// Events kept for those who come back, and their bytes.
const RECENT_EVENTS: usize = 100;
const RECENT_BYTES: usize = 32 * 1024;

/// A room with subscribers.
pub struct RoomFeed {
    id: RoomId,
    topic: String,
    state: Mutex<State>,
    /// Set once the head is known or couldn't be read: read once for all who ask meanwhile.
    loading: OnceCell<Result<(), StoreError>>,
    /// Whether somebody is bringing it up to date.
    mending: AtomicBool,
}

/// What the lock protects.
pub(super) struct State {
    /// `None` while it is read from the store.
    pub(super) head: Option<Head>,
    /// What came before its turn, by `seq`.
    pending: Pending,
    /// For events of other instances; until it is retired.
    interest: Option<Arc<Interest>>,
    /// Whether the log may go further than what came here.
    doubted: bool,
    /// The last events before the head, contiguous.
    recent: VecDeque<Arc<FeedEvent>>,
    recent_bytes: usize,
    /// Out of the map: whoever holds it has to look again.
    pub(super) retired: bool,
}

/// A durable event in its final bytes.
pub struct FeedEvent {
    /// Its place in the log.
    pub seq: u64,
    /// The message whose text it changed: events that hold it as it was aren't replayed any more.
    rewrites: Option<u64>,
    name: Cow<'static, str>,
    frame: Frame,
    /// What the sender sees instead, with its `clientId`.
    own: Option<(UserId, Frame)>,
}

impl FeedEvent {
    /// Encodes an event for everybody, and for `actor`, as whom the store read it.
    ///
    /// # Errors
    /// Never for what the store holds; encoding as such can fail.
    pub fn new(stored: StoredEvent, actor: &UserId) -> Result<Self, gateway::EncodeError> {
        Self::seen_by(stored, Some(actor))
    }

    fn seen_by(stored: StoredEvent, actor: Option<&UserId>) -> Result<Self, gateway::EncodeError> {
        let own = wire::event(stored.clone(), actor);
        let mut shared = wire::event(stored, None);
        if let RoomEvent::New(message)
        | RoomEvent::Edited(protocol::MessageEdited { message, .. }) = &mut shared
        {
            // One frame for all says of nobody that a reaction is theirs.
            for reaction in &mut message.reactions {
                reaction.mine = false;
            }
        }
        let frame = |event: &RoomEvent| Frame::event("/", event.name(), &event.payload());
        Ok(Self {
            seq: shared.seq(),
            rewrites: match &shared {
                RoomEvent::Edited(edited) => Some(edited.of),
                RoomEvent::Deleted(deleted) => Some(deleted.of),
                _ => None,
            },
            name: Cow::Borrowed(shared.name()),
            frame: frame(&shared)?,
            own: match actor {
                Some(actor) if own != shared => Some((actor.clone(), frame(&own)?)),
                _ => None,
            },
        })
    }

    /// As [`FeedEvent::new`], of an event that was read for nobody in particular.
    ///
    /// # Errors
    /// As there.
    pub fn of_log(stored: StoredEvent) -> Result<Self, gateway::EncodeError> {
        let actor = match &stored.occurrence {
            Occurrence::Sent(message) | Occurrence::Edited { message, .. } => {
                Some(message.sender.id.clone())
            }
            // Nobody sees these differently.
            Occurrence::Deleted { .. } | Occurrence::Reacted { .. } | Occurrence::Void => None,
        };
        Self::seen_by(stored, actor.as_ref())
    }

    /// An event that another instance wrote.
    pub fn received(event: &bus::Event<'_>) -> Self {
        let frame = |payload| Frame::event_from_json("/", event.name, payload, Vec::new());
        Self {
            seq: event.seq,
            rewrites: event.rewrites,
            name: Cow::Owned(event.name.to_owned()),
            frame: frame(event.payload),
            own: event
                .own
                .map(|(actor, payload)| (UserId::trusted(actor), frame(payload))),
        }
    }

    /// What other instances are sent of it.
    pub fn message(&self) -> bus::Message<'_> {
        bus::Message::Event(bus::Event {
            seq: self.seq,
            rewrites: self.rewrites,
            name: &self.name,
            payload: self.frame.arguments().unwrap_or("{}"),
            own: self
                .own
                .as_ref()
                .map(|(actor, own)| (actor.as_str(), own.arguments().unwrap_or("{}"))),
        })
    }

    /// The frame that `viewer` gets.
    pub fn frame_for(&self, viewer: &UserId) -> &Frame {
        match &self.own {
            Some((actor, own)) if actor == viewer => own,
            _ => &self.frame,
        }
    }

    /// The event as `missed` and `events` hold it: the payload of the frame with its name as `type`.
    pub fn write_json_for(&self, viewer: &UserId, json: &mut String) {
        json.push_str("{\"type\":\"");
        json.push_str(&self.name);
        json.push_str("\",");
        // An object with at least one field, written by our own encoder.
        let payload = self.frame_for(viewer).arguments().unwrap_or("{}");
        json.push_str(&payload[1..]);
    }

    /// What it is written in for `viewer`, at most: as a frame, or in an answer with its name as `type`.
    pub fn bytes_for(&self, viewer: &UserId) -> usize {
        const TYPE: usize = 16;
        self.frame_for(viewer).size() + TYPE
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.frame.size() + self.own.as_ref().map_or(0, |(_, own)| own.size())
    }
}

/// Held by who brings a feed up to date.
pub(super) struct Mending(Arc<RoomFeed>);

impl Drop for Mending {
    fn drop(&mut self) {
        self.0.mending.store(false, Ordering::Release);
    }
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Queued for the subscribers, or for when the head is known.
    Yes,
    /// Not the next one: it waits for those before it.
    Early,
    /// Too many wait: the feed has to be read anew.
    TooMany,
}

impl RoomFeed {
    /// A feed that collects events. `all_pending_bytes` counts the bytes of those that wait in all feeds.
    pub(super) fn new(id: RoomId, bus: &Bus, all_pending_bytes: Arc<AtomicUsize>) -> Self {
        let topic = topics::room(&id);
        Self {
            id,
            state: Mutex::new(State {
                head: None,
                pending: Pending::new(all_pending_bytes),
                interest: bus.want(&topic).map(Arc::new),
                doubted: false,
                recent: VecDeque::new(),
                recent_bytes: 0,
                retired: false,
            }),
            topic,
            loading: OnceCell::new(),
            mending: AtomicBool::new(false),
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

    /// The `seq` up to which subscribers have everything; `None` while it isn't known.
    pub fn head_seq(&self) -> Option<u64> {
        self.state.lock().head.as_ref().map(|head| head.seq)
    }

    /// Publishes an event to the subscribers.
    pub(super) fn release(&self, hub: &Hub, event: FeedEvent) -> Released {
        self.state.lock().release(hub, &self.topic, Arc::new(event))
    }

    /// Loads the head by `load`, once for all who ask; whoever asks after a failure is told the same.
    pub(super) async fn load(
        &self,
        load: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        self.loading.get_or_init(|| load).await.clone()
    }

    /// Waits until events of other instances come in.
    pub(super) async fn enter(&self) {
        let interest = self.lock().interest.clone();
        if let Some(interest) = interest {
            interest.confirmed().await;
        }
    }

    /// Ends it: whoever holds it has to look for another.
    pub(super) fn retire(&self) {
        self.lock().retire();
    }

    /// The log may go further than what came here.
    pub(super) fn doubt(&self) {
        self.lock().doubted = true;
    }

    /// Lets the caller bring it up to date, unless somebody does already.
    pub(super) fn begin_mending(self: &Arc<Self>) -> Option<Mending> {
        let is_free = !self.mending.swap(true, Ordering::AcqRel);
        is_free.then(|| Mending(self.clone()))
    }

    /// Whether events are missing, or may be.
    pub(super) fn needs_mending(&self) -> bool {
        let state = self.lock();
        !state.retired && state.head.is_some() && (state.doubted || !state.pending.is_empty())
    }

    /// Takes the doubt back and gives the `seq` behind which the log has to be read; `None` if it isn't known.
    pub(super) fn begin_reading(&self) -> Option<u64> {
        let mut state = self.lock();
        let head = state.head.as_ref()?.seq;
        state.doubted = false;
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

    /// Publishes what waited for the head, as far as nothing is missing.
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
        // Whoever comes back to a point before a message that was changed meanwhile reads it from the store, which
        // has it as it is: a deleted text must not come back.
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

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.bytes();
        }
    }

    /// Keeps what was read of the log up to a place, which was the head before: only if nothing was published meanwhile,
    /// which could have changed a message that was read.
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
