//! The rooms that have subscribers here: letting subscribers in, and releasing what became durable.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use gateway::{Hub, JoinError, Socket};
use protocol::{Epoch, ErrorCode, RoomId, limits::MISSED_MAX};
use storage::{StoreError, StoredEvent};

use super::{
    room_feed::{FeedEvent, Released, RoomFeed},
    topics, wire,
};
use crate::{actor::Actor, app::App, error::AppError};

/// A room without subscribers is kept so long, for those who come right back: once or twice this.
const SWEEP: Duration = Duration::from_secs(15);

/// Bytes of events that one connection is given at once, at most: its queue has to hold them. The rest is paged.
pub const REPLAY_BYTES: usize = 1 << 20;

/// Events read from the store at a time.
const READ: usize = 100;

/// Feeds by room.
#[derive(Default)]
pub struct RoomFeeds {
    rooms: DashMap<RoomId, Arc<RoomFeed>>,
}

/// What a client has of a room.
#[derive(Debug, Clone)]
pub struct Since {
    /// The last `seq` it has.
    pub seq: u64,
    /// The epoch that it knows, if it says.
    pub epoch: Option<Epoch>,
    /// Bytes of missed events that it may be given.
    pub bytes: usize,
}

/// What a new subscriber gets before everything that is published from then on.
pub struct Replay {
    /// The `seq` up to which this goes; later events follow live.
    pub head_seq: u64,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The events after [`Since::seq`], at most [`MISSED_MAX`] and [`Since::bytes`].
    pub events: Vec<Arc<FeedEvent>>,
    /// Whether these are all up to `head_seq`.
    pub complete: bool,
    /// Whether what the client has is of another log, so that it has to begin anew.
    pub reset: bool,
}

impl Replay {
    /// What its events take in a queue.
    pub fn bytes(&self) -> usize {
        bytes(&self.events)
    }
}

fn bytes(events: &[Arc<FeedEvent>]) -> usize {
    events.iter().map(|event| event.bytes()).sum()
}

/// Cuts `events` to [`MISSED_MAX`] and `max_bytes`; says whether that left all of them.
fn cut(events: &mut Vec<Arc<FeedEvent>>, max_bytes: usize) -> bool {
    let all = events.len();
    let mut left = max_bytes;
    let fits = |event: &&Arc<FeedEvent>| match left.checked_sub(event.bytes()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let fitting = events.iter().take_while(fits).count();
    events.truncate(fitting.min(MISSED_MAX));
    events.len() == all
}

impl RoomFeeds {
    /// Subscribes `socket` to `room` and gives `begin` what its user missed after `since`, before any later event can
    /// reach the socket. Membership isn't checked. Says whether the socket wasn't subscribed before.
    ///
    /// # Errors
    /// `not_found` if there is no such room, `rate_limited` if the connection has too many subscriptions,
    /// `unavailable` while the connection is being told that it fell behind, and whatever the store says.
    pub async fn subscribe(
        &self,
        app: &App,
        actor: &Actor,
        socket: &Socket,
        room: &RoomId,
        since: Option<Since>,
        begin: impl FnOnce(Replay),
    ) -> Result<bool, AppError> {
        let mut events = Vec::new();
        let mut from = since.as_ref().map_or(0, |since| since.seq);
        let max_bytes = since.as_ref().map_or(0, |since| since.bytes);
        loop {
            let feed = self.loaded(app, room).await?;
            let up_to = {
                let state = feed.lock();
                let Some(head) = state.head.as_ref().filter(|_| !state.retired) else {
                    continue;
                };
                let recent = if since.is_some() {
                    state.recent_after(from)
                } else {
                    Some(Vec::new())
                };
                let other_log = since.as_ref().is_some_and(|since| {
                    since.seq > head.seq || since.epoch.as_ref().is_some_and(|e| *e != head.epoch)
                });
                let full = events.len() >= MISSED_MAX || bytes(&events) >= max_bytes;
                if recent.is_some() || other_log || full {
                    let mut replay = Replay {
                        head_seq: head.seq,
                        epoch: head.epoch.clone(),
                        events: Vec::new(),
                        complete: !other_log,
                        reset: other_log,
                    };
                    if !other_log {
                        replay.complete = recent.is_some();
                        events.extend(recent.unwrap_or_default());
                        replay.complete &= cut(&mut events, max_bytes);
                        replay.events = events;
                    }
                    // Nothing is published while the lock is held, so the first live event is the one after the head.
                    let is_new = socket
                        .join(feed.topic(), topics::mark(&actor.user_id))
                        .map_err(not_joined)?;
                    begin(replay);
                    return Ok(is_new);
                }
                head.seq
            };
            let limit = READ.min(MISSED_MAX - events.len()) as u32;
            let page = app
                .store
                .events(room, from, up_to, limit, Some(&actor.user_id))
                .await?;
            // Nothing is left to read up to the head of a moment ago; the rest is in memory by now.
            if !page.has_more {
                from = up_to;
            }
            for stored in page.items {
                from = from.max(stored.seq);
                let event = FeedEvent::new(stored, &actor.user_id).map_err(AppError::internal)?;
                events.push(Arc::new(event));
            }
        }
    }

    /// Publishes a durable event, which the store gave out as `actor` sees it. For each room in the order of `seq`.
    pub fn release(&self, hub: &Hub, stored: StoredEvent, actor: &Actor) {
        let Some(feed) = self.find(&stored.room_id) else {
            return;
        };
        let seq = stored.seq;
        match FeedEvent::new(stored, &actor.user_id) {
            Ok(event) => {
                if feed.release(hub, event) == Released::Gap {
                    self.start_over(hub, &feed, seq);
                }
            }
            Err(error) => {
                tracing::error!(%error, room = %feed.id(), seq, "a durable event can't be encoded");
                self.start_over(hub, &feed, seq);
            }
        }
    }

    /// The `seq` up to which subscribers of a room here have been served.
    pub fn head_seq(&self, room: &RoomId) -> Option<u64> {
        self.find(room)?.head_seq()
    }

    /// Ends a room here: nobody stays subscribed.
    pub fn close(&self, hub: &Hub, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            self.retire(&feed);
        }
        let topic = topics::room(room);
        for socket in hub.sockets(&topic) {
            socket.leave(&topic);
        }
    }

    /// Number of rooms held.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether no room is held.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Lets go of rooms without subscribers, for ever.
    pub async fn sweep(&self, hub: &Hub) {
        let mut idle: Vec<Arc<RoomFeed>> = Vec::new();
        loop {
            tokio::time::sleep(SWEEP).await;
            let all: Vec<_> = self
                .rooms
                .iter()
                .map(|entry| entry.value().clone())
                .collect();
            let was_idle = std::mem::take(&mut idle);
            for feed in all {
                if hub.subscribers(feed.topic()) > 0 {
                    continue;
                }
                if was_idle.iter().any(|before| Arc::ptr_eq(before, &feed)) {
                    self.retire_if_empty(hub, &feed);
                } else {
                    idle.push(feed);
                }
            }
        }
    }

    fn find(&self, room: &RoomId) -> Option<Arc<RoomFeed>> {
        self.rooms.get(room).map(|entry| entry.value().clone())
    }

    /// The feed of a room with its head known.
    async fn loaded(&self, app: &App, room: &RoomId) -> Result<Arc<RoomFeed>, AppError> {
        let feed = self.find(room).unwrap_or_else(|| {
            self.rooms
                .entry(room.clone())
                .or_insert_with(|| Arc::new(RoomFeed::new(room.clone())))
                .clone()
        });
        if feed.head_seq().is_some() {
            return Ok(feed);
        }
        // The feed collects what happens from here on, so the head can't be too old.
        match app.store.head(room).await {
            Ok(head) => {
                let seq = head.seq;
                if feed.loaded(&app.hub, head) == Released::Gap {
                    self.start_over(&app.hub, &feed, seq);
                }
                Ok(feed)
            }
            Err(error) => {
                self.retire_if_empty(&app.hub, &feed);
                Err(match error {
                    StoreError::NotFound => AppError::not_found("room"),
                    other => other.into(),
                })
            }
        }
    }

    /// Subscribers can't be served in order any more: they are told to join again and get the rest from the store.
    fn start_over(&self, hub: &Hub, feed: &Arc<RoomFeed>, head_seq: u64) {
        tracing::error!(room = %feed.id(), head_seq, "a room's feed has a gap; its subscribers start over");
        self.retire(feed);
        let resync = wire::resync(feed.id(), head_seq);
        for socket in hub.sockets(feed.topic()) {
            socket.leave(feed.topic());
            if let Some(frame) = &resync {
                socket.send(frame);
            }
        }
    }

    fn retire_if_empty(&self, hub: &Hub, feed: &Arc<RoomFeed>) {
        let mut state = feed.lock();
        if hub.subscribers(feed.topic()) > 0 {
            return;
        }
        state.retired = true;
        drop(state);
        self.forget(feed);
    }

    fn retire(&self, feed: &Arc<RoomFeed>) {
        feed.lock().retired = true;
        self.forget(feed);
    }

    fn forget(&self, feed: &Arc<RoomFeed>) {
        self.rooms
            .remove_if(feed.id(), |_, found| Arc::ptr_eq(found, feed));
    }
}

fn not_joined(error: JoinError) -> AppError {
    match error {
        JoinError::Closed | JoinError::Lagging => AppError::new(
            ErrorCode::Unavailable,
            "the connection fell behind; try again",
        ),
        JoinError::TooMany => AppError::new(
            ErrorCode::RateLimited,
            "too many rooms on this connection; leave some",
        ),
    }
}
