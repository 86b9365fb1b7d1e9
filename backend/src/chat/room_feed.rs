//! One room as its subscribers here see it: the visible head, and the last events as ready frames.
//!
//! Everything that makes the order is under one lock: publishing an event, and letting a subscriber in. So whoever
//! subscribes gets what was missed up to a head, and then every event after it, none twice and none left out, and a
//! crowd that reconnects is served from memory.

use std::{collections::VecDeque, sync::Arc};

use gateway::{Frame, Hub};
use parking_lot::Mutex;
use protocol::{Epoch, RoomEvent, RoomId, UserId};
use storage::{Head, StoredEvent};

use super::{topics, wire};

/// Events kept for those who come back, and their bytes.
const RECENT_EVENTS: usize = 100;
const RECENT_BYTES: usize = 32 * 1024;

/// Events that may happen while the head is being read.
const PENDING_EVENTS: usize = 10_000;

/// A room with subscribers.
pub struct RoomFeed {
    id: RoomId,
    topic: String,
    state: Mutex<State>,
}

/// What the lock protects.
pub(super) struct State {
    /// `None` while it is read from the store.
    pub(super) head: Option<Head>,
    /// What happened meanwhile.
    pending: Vec<Arc<FeedEvent>>,
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
    name: &'static str,
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
        let own = wire::event(stored.clone(), Some(actor));
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
            name: shared.name(),
            frame: frame(&shared)?,
            own: if own == shared {
                None
            } else {
                Some((actor.clone(), frame(&own)?))
            },
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
        json.push_str(self.name);
        json.push_str("\",");
        // An object with at least one field, written by our own encoder.
        let payload = self.frame_for(viewer).arguments().unwrap_or("{}");
        json.push_str(&payload[1..]);
    }

    fn bytes(&self) -> usize {
        self.frame.size() + self.own.as_ref().map_or(0, |(_, own)| own.size())
    }
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Queued for the subscribers, or for when the head is known.
    Yes,
    /// Not the next one: the feed has to be read anew.
    Gap,
}

impl RoomFeed {
    pub(super) fn new(id: RoomId) -> Self {
        Self {
            topic: topics::room(&id),
            id,
            state: Mutex::new(State {
                head: None,
                pending: Vec::new(),
                recent: VecDeque::new(),
                recent_bytes: 0,
                retired: false,
            }),
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

    /// The head as read from the store after the feed began to collect events.
    pub(super) fn loaded(&self, hub: &Hub, head: Head) -> Released {
        let mut state = self.state.lock();
        if state.head.is_some() {
            return Released::Yes;
        }
        state.head = Some(head);
        for event in std::mem::take(&mut state.pending) {
            if state.release(hub, &self.topic, event) == Released::Gap {
                return Released::Gap;
            }
        }
        Released::Yes
    }
}

impl State {
    fn release(&mut self, hub: &Hub, topic: &str, event: Arc<FeedEvent>) -> Released {
        let Some(head) = &mut self.head else {
            if self.pending.len() >= PENDING_EVENTS {
                return Released::Gap;
            }
            self.pending.push(event);
            return Released::Yes;
        };
        if event.seq <= head.seq {
            return Released::Yes;
        }
        if event.seq > head.seq + 1 {
            return Released::Gap;
        }
        head.seq = event.seq;
        match &event.own {
            Some((actor, own)) => {
                hub.publish_variant(topic, &event.frame, topics::mark(actor), own)
            }
            None => hub.publish(topic, &event.frame),
        };
        self.recent_bytes += event.bytes();
        self.recent.push_back(event);
        while self.recent.len() > RECENT_EVENTS || self.recent_bytes > RECENT_BYTES {
            match self.recent.pop_front() {
                Some(oldest) => self.recent_bytes -= oldest.bytes(),
                None => break,
            }
        }
        Released::Yes
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

    /// Epoch of the log, once known.
    pub(super) fn epoch(&self) -> Option<&Epoch> {
        self.head.as_ref().map(|head| &head.epoch)
    }
}
