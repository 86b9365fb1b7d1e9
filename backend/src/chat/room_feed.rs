//! One room as its subscribers here see it: the visible head, and the last events as ready frames.
//!
//! Everything that makes the order is under one lock: publishing an event, and letting a subscriber in. So whoever
//! subscribes gets what was missed up to a head, and then every event after it, none twice and none left out, and a
//! crowd that reconnects is served from memory. Where several instances write to a room, an event may come before the
//! one that it follows; it waits for it here.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gateway::{Frame, Hub};
use parking_lot::Mutex;
use protocol::{RoomEvent, RoomId, UserId};
use storage::{Head, Occurrence, StoredEvent};
use tokio::sync::OnceCell;

use super::{topics, wire};
use crate::bus::{self, Bus};

/// Events kept for those who come back, and their bytes.
const RECENT_EVENTS: usize = 100;
const RECENT_BYTES: usize = 32 * 1024;

/// Events that may wait for the head, or for one that comes before them: some seconds of a very busy room.
const PENDING_EVENTS: usize = 10_000;

/// A room with subscribers.
pub struct RoomFeed {
    id: RoomId,
    topic: String,
    state: Mutex<State>,
    /// Done once events of other instances come in.
    entered: OnceCell<()>,
    left: AtomicBool,
    /// Whether somebody is bringing it up to date.
    mending: AtomicBool,
}

/// What the lock protects.
pub(super) struct State {
    /// `None` while it is read from the store.
    pub(super) head: Option<Head>,
    /// What came before its turn, by `seq`.
    pending: BTreeMap<u64, Arc<FeedEvent>>,
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

    /// What it takes in memory, and at most in a queue.
    pub fn bytes(&self) -> usize {
        self.frame.size() + self.own.as_ref().map_or(0, |(_, own)| own.size())
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
    pub(super) fn new(id: RoomId) -> Self {
        Self {
            topic: topics::room(&id),
            id,
            state: Mutex::new(State {
                head: None,
                pending: BTreeMap::new(),
                doubted: false,
                recent: VecDeque::new(),
                recent_bytes: 0,
                retired: false,
            }),
            entered: OnceCell::new(),
            left: AtomicBool::new(false),
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

    /// Waits until events of other instances come in; once for all who ask.
    pub(super) async fn enter(&self, bus: &Bus) {
        self.entered.get_or_init(|| bus.enter(&self.topic)).await;
        if self.lock().retired {
            self.leave(bus);
        }
    }

    /// Ends what [`RoomFeed::enter`] began. The feed is retired.
    pub(super) fn leave(&self, bus: &Bus) {
        if self.entered.initialized() && !self.left.swap(true, Ordering::AcqRel) {
            bus.leave(&self.topic);
        }
    }

    /// The log may go further than what came here.
    pub(super) fn doubt(&self) {
        self.lock().doubted = true;
    }

    /// Whether the caller is the one to bring it up to date from now on.
    pub(super) fn begin_mending(&self) -> bool {
        !self.mending.swap(true, Ordering::AcqRel)
    }

    /// Nobody does any more; says whether somebody should nevertheless.
    pub(super) fn end_mending(&self) -> bool {
        self.mending.store(false, Ordering::Release);
        self.needs_mending()
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
        let seq = head.seq;
        state.head = Some(head);
        state.pending = state.pending.split_off(&(seq + 1));
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
            if self.pending.len() >= PENDING_EVENTS {
                return Released::TooMany;
            }
            self.pending.insert(event.seq, event);
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
        while let Some(head) = &self.head
            && let Some(first) = self.pending.first_entry()
            && *first.key() <= head.seq + 1
        {
            let event = first.remove();
            if event.seq > head.seq {
                self.publish(hub, topic, event);
            }
        }
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
mod tests {
    use protocol::{Epoch, MessageId, Reaction, Sender, Timestamp};
    use storage::{Occurrence, StoredMessage};

    use super::*;

    fn message(seq: u64, sender: &UserId) -> StoredMessage {
        StoredMessage {
            id: MessageId::trusted(format!("m-{seq}")),
            room_id: RoomId::trusted("r"),
            seq,
            sender: Sender {
                id: sender.clone(),
                display_name: "Ana".into(),
                guest: false,
            },
            body: "hola".into(),
            at: Timestamp::from_unix_ms(1_800_000_000_000),
            client_id: Some(format!("c-{seq}")),
            reply_to: None,
            mentions: Vec::new(),
            edited_at: None,
            deleted_at: None,
            reactions: Vec::new(),
        }
    }

    fn sent(seq: u64) -> FeedEvent {
        let ana = UserId::trusted("ana");
        let stored = StoredEvent {
            room_id: RoomId::trusted("r"),
            seq,
            occurrence: Occurrence::Sent(message(seq, &ana)),
        };
        FeedEvent::new(stored, &ana).unwrap()
    }

    fn head(seq: u64) -> Head {
        Head {
            seq,
            epoch: Epoch::new("1"),
        }
    }

    fn seqs(feed: &RoomFeed, after: u64) -> Option<Vec<u64>> {
        let recent = feed.lock().recent_after(after)?;
        Some(recent.iter().map(|event| event.seq).collect())
    }

    #[tokio::test]
    async fn events_are_released_once_and_in_order() {
        let hub = Hub::new(Some(1));
        let feed = RoomFeed::new(RoomId::trusted("r"));
        // What comes while the head is read is released behind it, as far as the head hasn't got it.
        assert_eq!(feed.release(&hub, sent(5)), Released::Yes);
        assert_eq!(feed.release(&hub, sent(6)), Released::Yes);
        assert_eq!(feed.head_seq(), None);
        assert_eq!(feed.loaded(&hub, head(5)), Released::Yes);
        assert_eq!(feed.head_seq(), Some(6));
        assert_eq!(feed.release(&hub, sent(6)), Released::Yes);
        assert_eq!(feed.head_seq(), Some(6));
        assert!(!feed.needs_mending());
        assert_eq!(feed.release(&hub, sent(9)), Released::Early);
        assert_eq!(feed.release(&hub, sent(8)), Released::Early);
        assert_eq!(feed.head_seq(), Some(6));
        assert!(feed.needs_mending());
        assert_eq!(feed.release(&hub, sent(7)), Released::Yes);
        assert_eq!(feed.head_seq(), Some(9));
        assert!(!feed.needs_mending());
        assert_eq!(seqs(&feed, 5), Some(vec![6, 7, 8, 9]));
    }

    #[tokio::test]
    async fn what_comes_too_early_is_bounded() {
        let hub = Hub::new(Some(1));
        let feed = RoomFeed::new(RoomId::trusted("r"));
        feed.loaded(&hub, head(0));
        for seq in 2..2 + PENDING_EVENTS as u64 {
            assert_eq!(feed.release(&hub, sent(seq)), Released::Early);
        }
        assert_eq!(feed.release(&hub, sent(1_000_000)), Released::TooMany);
    }

    #[test]
    fn an_event_is_the_same_on_every_instance() {
        let ana = UserId::trusted("ana");
        let event = sent(3);
        let bus::Message::Event(message) = event.message() else {
            panic!("an event");
        };
        let received = FeedEvent::received(&message);
        for viewer in [&ana, &UserId::trusted("bea")] {
            let text = |event: &FeedEvent| event.frame_for(viewer).arguments().map(str::to_owned);
            assert_eq!(text(&received), text(&event));
            let mut json = [String::new(), String::new()];
            received.write_json_for(viewer, &mut json[0]);
            event.write_json_for(viewer, &mut json[1]);
            assert_eq!(json[0], json[1]);
        }
    }

    #[tokio::test]
    async fn only_what_is_kept_whole_is_replayed_from_memory() {
        let hub = Hub::new(Some(1));
        let feed = RoomFeed::new(RoomId::trusted("r"));
        feed.loaded(&hub, head(10));
        assert_eq!(seqs(&feed, 10), Some(vec![]));
        assert_eq!(seqs(&feed, 9), None);
        for seq in 11..=300 {
            assert_eq!(feed.release(&hub, sent(seq)), Released::Yes);
        }
        assert_eq!(seqs(&feed, 300), Some(vec![]));
        assert_eq!(seqs(&feed, 298), Some(vec![299, 300]));
        assert_eq!(seqs(&feed, 10), None);
        let state = feed.lock();
        assert!(state.recent.len() <= RECENT_EVENTS && state.recent_bytes <= RECENT_BYTES);
        let kept: usize = state.recent.iter().map(|event| event.bytes()).sum();
        assert_eq!(state.recent_bytes, kept);
        let first = state.recent.front().unwrap().seq;
        drop(state);
        assert_eq!(seqs(&feed, first - 1).unwrap().len() as u64, 301 - first);
        assert_eq!(seqs(&feed, first - 2), None);
    }

    #[test]
    fn a_client_id_and_ones_own_reactions_are_for_the_actor_alone() {
        let (ana, bea) = (UserId::trusted("ana"), UserId::trusted("bea"));
        let mut edited = message(1, &ana);
        edited.reactions = vec![Reaction {
            emoji: "👍".into(),
            count: 2,
            mine: true,
        }];
        let event = FeedEvent::new(
            StoredEvent {
                room_id: RoomId::trusted("r"),
                seq: 4,
                occurrence: Occurrence::Edited {
                    of: 1,
                    message: edited,
                },
            },
            &ana,
        )
        .unwrap();
        let json = |viewer: &UserId| {
            let mut json = String::new();
            event.write_json_for(viewer, &mut json);
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        };
        let (own, other) = (json(&ana), json(&bea));
        assert_eq!(own["type"], "message:edited");
        assert_eq!(own["message"]["clientId"], "c-1");
        assert_eq!(own["message"]["reactions"][0]["mine"], true);
        assert_eq!(other["message"].get("clientId"), None);
        assert_eq!(other["message"]["reactions"][0]["mine"], false);
        assert_eq!(other["seq"], 4);
        serde_json::from_value::<RoomEvent>(other).unwrap();
    }
}
