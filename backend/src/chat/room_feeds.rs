//! The rooms that have subscribers here: letting subscribers in, and releasing what became durable.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use dashmap::DashMap;
use gateway::JoinError;
use protocol::{Epoch, ErrorCode, RoomId, UserId, limits::MISSED_MAX};
use storage::{StoreError, StoredEvent};
use tokio::time::Instant;

use super::{
    room_doubts::RoomDoubts,
    room_feed::{FeedEvent, Released, RoomFeed},
    room_repair,
    rooms::{Entered, Entry},
    topics, wire,
};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    error::AppError,
    page::ENTRIES_BYTES_MAX,
};

/// A room without subscribers is kept so long, for those who come right back: once or twice this.
const SWEEP: Duration = Duration::from_secs(15);

/// Bytes of events that one connection is given at once, at most: its queue has to hold them. The rest is paged.
pub const REPLAY_BYTES: usize = ENTRIES_BYTES_MAX;

/// How long a client that has more than this instance waits for it, and the pause between two looks.
const CATCH_UP: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(10);

/// Events read from the store at a time.
const READ: usize = 100;

/// Feeds by room.
#[derive(Default)]
pub struct RoomFeeds {
    /// Those that have to be compared with their logs.
    pub doubts: RoomDoubts,
    rooms: DashMap<RoomId, Arc<RoomFeed>>,
    /// Bytes of events that wait for their turn.
    pending_bytes: Arc<AtomicUsize>,
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
    /// What its events are written in for the one who gets them.
    pub fn bytes(&self, viewer: &UserId) -> usize {
        bytes(&self.events, viewer)
    }
}

fn bytes(events: &[Arc<FeedEvent>], viewer: &UserId) -> usize {
    events.iter().map(|event| event.bytes_for(viewer)).sum()
}

/// Cuts `events` to [`MISSED_MAX`] and `max_bytes`; says whether that left all of them.
fn cut(events: &mut Vec<Arc<FeedEvent>>, viewer: &UserId, max_bytes: usize) -> bool {
    let all = events.len();
    let mut left = max_bytes;
    let fits = |event: &&Arc<FeedEvent>| match left.checked_sub(event.bytes_for(viewer)) {
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
    /// Subscribes a connection to `room` and gives `begin` what its user missed after `since`, before any later event can
    /// reach it. Membership isn't read; `begin` isn't called if it is [`Entered::Doubtful`].
    ///
    /// # Errors
    /// `not_found` if there is no such room, `rate_limited` if the connection has too many subscriptions,
    /// `unavailable` while the connection is being told that it fell behind, and whatever the store says.
    pub(super) async fn subscribe(
        &self,
        app: &SharedApp,
        actor: &Actor,
        entry: &mut Entry<'_>,
        room: &RoomId,
        since: Option<Since>,
        begin: impl FnOnce(Replay),
    ) -> Result<Entered, AppError> {
        let mut events = Vec::new();
        let mut from = since.as_ref().map_or(0, |since| since.seq);
        let max_bytes = since.as_ref().map_or(0, |since| since.bytes);
        if let Some(since) = &since {
            self.catch_up(app, room, since.seq).await?;
        }
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
                let full =
                    events.len() >= MISSED_MAX || bytes(&events, &actor.user_id) >= max_bytes;
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
                        replay.complete &= cut(&mut events, &actor.user_id, max_bytes);
                        replay.events = events;
                    }
                    // Nothing is published while the lock is held, so the first live event is the one after the head.
                    let entered = entry.make(app, actor, room)?;
                    if entered != Entered::Doubtful {
                        begin(replay);
                    }
                    return Ok(entered);
                }
                head.seq
            };
            let limit = READ.min(MISSED_MAX - events.len()) as u32;
            let page = app.store.events(room, from, up_to, limit, None).await?;
            let first = events.len();
            for stored in page.items {
                from = from.max(stored.seq);
                let event = FeedEvent::of_log(stored).map_err(AppError::internal)?;
                events.push(Arc::new(event));
            }
            // Nothing is left to read up to the head of a moment ago; the rest is in memory by now. Others who come back
            // have missed the same.
            if !page.has_more {
                from = up_to;
                feed.lock().remember(&events[first..], up_to);
            }
        }
    }

    /// Waits until the feed is as far as a client that was served by an instance which is ahead of this one. Does nothing
    /// if the log isn't that far either: then what the client has is of another log.
    ///
    /// # Errors
    /// `unavailable` if it takes too long, and whatever the store says.
    async fn catch_up(&self, app: &SharedApp, room: &RoomId, seq: u64) -> Result<(), AppError> {
        if app.bus.link().is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + CATCH_UP;
        let mut log_is_there = false;
        loop {
            let feed = self.loaded(app, room).await?;
            if feed.head_seq().is_none_or(|head| head >= seq) {
                return Ok(());
            }
            if !log_is_there {
                if app.store.head(room).await?.seq < seq {
                    return Ok(());
                }
                log_is_there = true;
            }
            feed.doubt();
            room_repair::start(app, &feed);
            if Instant::now() >= deadline {
                let message = "this instance is behind the others; try again";
                return Err(AppError::new(ErrorCode::Unavailable, message));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Publishes a durable event of this instance, which the store gave out as `actor` sees it: here, and on every
    /// other instance with subscribers of the room.
    pub fn publish(&self, app: &SharedApp, stored: StoredEvent, actor: &Actor) {
        let room = stored.room_id.clone();
        let feed = self.find(&room);
        if feed.is_none() && app.bus.link().is_none() {
            return;
        }
        let seq = stored.seq;
        match FeedEvent::new(stored, &actor.user_id) {
            Ok(event) => {
                app.bus.send(&topics::room(&room), &event.message());
                if let Some(feed) = feed {
                    self.release_in(app, &feed, event);
                }
            }
            Err(error) => {
                tracing::error!(%error, %room, seq, "a durable event can't be encoded");
                if let Some(feed) = feed {
                    self.start_over(app, &feed, seq);
                }
            }
        }
    }

    /// Publishes a durable event to the subscribers here, when its turn has come.
    pub fn release(&self, app: &SharedApp, room: &RoomId, event: FeedEvent) {
        if let Some(feed) = self.find(room) {
            self.release_in(app, &feed, event);
        }
    }

    pub(super) fn release_in(&self, app: &SharedApp, feed: &Arc<RoomFeed>, event: FeedEvent) {
        let seq = event.seq;
        match feed.release(&app.hub, event) {
            Released::Yes => {}
            Released::Early => room_repair::start(app, feed),
            Released::TooMany => self.start_over(app, feed, seq),
        }
    }

    /// Events of a room may have been lost on their way here.
    pub fn doubt(&self, app: &SharedApp, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            feed.doubt();
            room_repair::start(app, &feed);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<RoomFeed>> {
        self.rooms
            .iter()
            .map(|entry| entry.value().clone())
            .collect()
    }

    /// The `seq` up to which subscribers of a room here have been served.
    pub fn head_seq(&self, room: &RoomId) -> Option<u64> {
        self.find(room)?.head_seq()
    }

    /// Waits until whoever is just being let into a room is in it, and has been told.
    pub fn settle(&self, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            drop(feed.lock());
        }
    }

    /// Ends a room here: nobody stays subscribed.
    pub fn close(&self, app: &App, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            self.retire(&feed);
        }
        let topic = topics::room(room);
        for socket in app.hub.sockets(&topic) {
            socket.leave(&topic);
        }
        app.presence.forget(room);
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
    pub async fn sweep(&self, app: &App) {
        let mut idle: Vec<Arc<RoomFeed>> = Vec::new();
        loop {
            tokio::time::sleep(SWEEP).await;
            let was_idle = std::mem::take(&mut idle);
            for feed in self.all() {
                if app.hub.subscribers(feed.topic()) > 0 {
                    continue;
                }
                if was_idle.iter().any(|before| Arc::ptr_eq(before, &feed)) {
                    self.retire_if_empty(app, &feed);
                } else {
                    idle.push(feed);
                }
            }
        }
    }

    pub(super) fn find(&self, room: &RoomId) -> Option<Arc<RoomFeed>> {
        self.rooms.get(room).map(|entry| entry.value().clone())
    }

    /// The feed of a room with its head known.
    async fn loaded(&self, app: &SharedApp, room: &RoomId) -> Result<Arc<RoomFeed>, AppError> {
        let feed = self.find(room).unwrap_or_else(|| {
            let new = || RoomFeed::new(room.clone(), &app.bus, self.pending_bytes.clone());
            self.rooms
                .entry(room.clone())
                .or_insert_with(|| Arc::new(new()))
                .clone()
        });
        if feed.head_seq().is_some() {
            return Ok(feed);
        }
        let loaded = feed.load(async {
            feed.enter().await;
            // The feed collects what happens from here on, so the head can't be too old.
            match app.store.head(room).await {
                Ok(head) => {
                    if feed.loaded(&app.hub, head) == Released::Early {
                        room_repair::start(app, &feed);
                    }
                    Ok(())
                }
                // Nobody can have been let in by it. Who comes next tries again.
                Err(error) => {
                    self.retire(&feed);
                    Err(error)
                }
            }
        });
        match loaded.await {
            Ok(()) => Ok(feed),
            Err(StoreError::NotFound) => Err(AppError::not_found("room")),
            Err(error) => Err(error.into()),
        }
    }

    /// Subscribers can't be served in order any more: they are told to join again and get the rest from the store.
    fn start_over(&self, app: &App, feed: &Arc<RoomFeed>, head_seq: u64) {
        tracing::error!(room = %feed.id(), head_seq, "a room's feed has a gap; its subscribers start over");
        self.retire(feed);
        let resync = wire::resync(feed.id(), head_seq);
        for user in app.presence.users_here(feed.id()) {
            for socket in app.user_sockets.of_user(&user) {
                if socket.leave(feed.topic()) {
                    app.presence.leave(app, feed.id(), &user);
                    if let Some(frame) = &resync {
                        socket.send(frame);
                    }
                }
            }
        }
    }

    fn retire_if_empty(&self, app: &App, feed: &Arc<RoomFeed>) {
        let mut state = feed.lock();
        if app.hub.subscribers(feed.topic()) > 0 {
            return;
        }
        state.retire();
        drop(state);
        self.forget(feed);
    }

    fn retire(&self, feed: &Arc<RoomFeed>) {
        feed.retire();
        self.forget(feed);
    }

    fn forget(&self, feed: &Arc<RoomFeed>) {
        self.rooms
            .remove_if(feed.id(), |_, found| Arc::ptr_eq(found, feed));
    }
}

/// Why a connection wasn't subscribed, for its client.
pub(super) fn not_joined(error: JoinError) -> AppError {
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
