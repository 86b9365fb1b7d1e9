//! The rooms that have subscribers here: adding subscribers, and releasing durable events to them in order.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use dashmap::DashMap;
use futures_util::{StreamExt, stream};
use gateway::Hub;
use protocol::{ErrorCode, RoomId, UserId, limits::MISSED_MAX};
use redis_client::partition_of;
use storage::{MessageStore, StoreError, StoredEvent};
use tokio::time::Instant;

use super::{
    presence::Presence,
    replay::{Replay, Since, bytes, truncate},
    room_feed::{
        FeedEvent, Released, RepairGuard, RoomFeed,
        repair::{FIRST_PAUSE, Repaired},
    },
    stale_rooms::{Stale, StaleRooms},
    subscriber::{Subscribed, Subscriber},
};
use crate::{
    delivery::user_sockets::UserSockets, error::AppError, fleet::bus::Bus, media_urls::MediaUrls,
    topics, wire,
};

/// How long a room without subscribers is kept for those who reconnect: once or twice this.
const SWEEP: Duration = Duration::from_secs(15);

/// How long a client that is ahead of this instance waits for it, and the pause between two checks.
const CATCH_UP: Duration = Duration::from_secs(5);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(10);

/// Events read from the store at a time.
const READ: usize = 100;

/// Rooms repaired at a time after an interruption: the store has others to serve.
const REPAIRS: usize = 32;

/// How often the rooms that were written to are compared with what arrived here. A room has to be behind twice in a row,
/// so an event whose publication was lost is found 2 s later.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Feeds by room.
pub struct RoomFeeds {
    store: MessageStore,
    hub: Hub,
    bus: Arc<Bus>,
    user_sockets: Arc<UserSockets>,
    presence: Arc<Presence>,
    urls: Arc<MediaUrls>,
    rooms: DashMap<RoomId, Arc<RoomFeed>>,
    /// Rooms that have to be compared with their logs.
    stale: StaleRooms,
    /// Bytes of events that wait, of all rooms.
    pending_bytes: Arc<AtomicUsize>,
}

impl RoomFeeds {
    /// No feeds yet.
    pub fn new(
        store: MessageStore,
        hub: Hub,
        bus: Arc<Bus>,
        user_sockets: Arc<UserSockets>,
        presence: Arc<Presence>,
        urls: Arc<MediaUrls>,
    ) -> Self {
        Self {
            store,
            hub,
            bus,
            user_sockets,
            presence,
            urls,
            rooms: DashMap::new(),
            stale: StaleRooms::default(),
            pending_bytes: Arc::default(),
        }
    }

    /// Subscribes a connection to `room` and gives `begin` what its user missed after `since`, before any later event can
    /// reach it. Membership isn't read; `begin` isn't called if the outcome is [`Subscribed::Uncertain`].
    ///
    /// # Errors
    /// `not_found` if there is no such room, `rate_limited` if the connection has too many subscriptions,
    /// `unavailable` while the connection is being told that it fell behind, and whatever the store says.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        subscriber: &mut Subscriber<'_>,
        room: &RoomId,
        since: Option<Since>,
        begin: impl FnOnce(Replay),
    ) -> Result<Subscribed, AppError> {
        let user = subscriber.user;
        let mut events = Vec::new();
        let mut from = since.as_ref().map_or(0, |since| since.seq);
        let max_bytes = since.as_ref().map_or(0, |since| since.bytes);
        if let Some(since) = &since {
            self.catch_up(room, since.seq).await?;
        }
        loop {
            let feed = self.loaded(room).await?;
            let up_to = {
                let mut state = feed.lock();
                state.forget_outdated();
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
                let full = events.len() >= MISSED_MAX || bytes(&events, user) >= max_bytes;
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
                        replay.complete &= truncate(&mut events, user, max_bytes);
                        replay.events = events;
                    }
                    // Nothing is published while the lock is held, so the first live event is the one after the head.
                    let subscribed = subscriber.subscribe(room)?;
                    if subscribed != Subscribed::Uncertain {
                        begin(replay);
                    }
                    return Ok(subscribed);
                }
                head.seq
            };
            let limit = READ.min(MISSED_MAX - events.len()) as u32;
            let page = self.store.events(room, from, up_to, limit, None).await?;
            let first = events.len();
            for stored in page.items {
                from = from.max(stored.seq);
                let event = FeedEvent::of_log(stored, &self.urls).map_err(AppError::internal)?;
                events.push(Arc::new(event));
            }
            // Everything up to the head of a moment ago was read; the rest is in memory by now. Others who reconnect have
            // missed the same.
            if !page.has_more {
                from = up_to;
                feed.lock().remember(&events[first..], up_to);
            }
        }
    }

    /// Waits until the feed has reached a client that was served by an instance ahead of this one. Does nothing if the log
    /// doesn't reach that far either: then the client has events of another log.
    ///
    /// # Errors
    /// `unavailable` if it takes too long, and whatever the store says.
    async fn catch_up(self: &Arc<Self>, room: &RoomId, seq: u64) -> Result<(), AppError> {
        if !self.bus.has_peers() {
            return Ok(());
        }
        let deadline = Instant::now() + CATCH_UP;
        let mut log_reaches = false;
        loop {
            let feed = self.loaded(room).await?;
            if feed.head_seq().is_none_or(|head| head >= seq) {
                return Ok(());
            }
            if !log_reaches {
                if self.store.head(room).await?.seq < seq {
                    return Ok(());
                }
                log_reaches = true;
            }
            feed.mark_stale();
            self.start_repair(&feed);
            if Instant::now() >= deadline {
                let message = "this instance is behind the others; try again";
                return Err(AppError::new(ErrorCode::Unavailable, message));
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// Publishes a durable event that this instance wrote, as the store returned it for `actor`: here, and on every other
    /// instance with subscribers of the room.
    pub fn publish(self: &Arc<Self>, stored: StoredEvent, actor: &UserId) {
        let room = stored.room_id.clone();
        let feed = self.find(&room);
        if feed.is_none() && !self.bus.has_peers() {
            return;
        }
        let seq = stored.seq;
        match FeedEvent::new(stored, actor, &self.urls) {
            Ok(event) => {
                self.bus.send(&topics::room(&room), &event);
                if let Some(feed) = feed {
                    self.release_in(&feed, event);
                }
            }
            Err(error) => {
                tracing::error!(%error, %room, seq, "a durable event can't be encoded");
                if let Some(feed) = feed {
                    self.start_over(&feed, seq);
                }
            }
        }
    }

    /// Releases a durable event to the subscribers here, once those before it have been.
    pub fn release(self: &Arc<Self>, room: &RoomId, event: FeedEvent) {
        if let Some(feed) = self.find(room) {
            self.release_in(&feed, event);
        }
    }

    fn release_in(self: &Arc<Self>, feed: &Arc<RoomFeed>, event: FeedEvent) {
        let seq = event.seq;
        match feed.release(&self.hub, event) {
            Released::Yes => {}
            Released::Early => self.start_repair(feed),
            Released::TooMany => self.start_over(feed, seq),
        }
    }

    /// Rooms whose events may have been lost on their way here.
    pub fn stale(&self) -> &StaleRooms {
        &self.stale
    }

    /// Repairs a feed in a task of its own, unless that is under way.
    fn start_repair(self: &Arc<Self>, feed: &Arc<RoomFeed>) {
        if let Some(guard) = feed.try_repair() {
            let (feeds, feed) = (self.clone(), feed.clone());
            tokio::spawn(async move { feeds.repair(&feed, guard, FIRST_PAUSE).await });
        }
    }

    async fn repair(&self, feed: &Arc<RoomFeed>, guard: RepairGuard, pause: Duration) {
        match feed
            .repair(&self.store, &self.urls, &self.hub, guard, pause)
            .await
        {
            Repaired::Done => {}
            Repaired::RoomDeleted => self.close(feed.id()),
            Repaired::Overflow(seq) => self.start_over(feed, seq),
        }
    }

    /// Repairs the rooms that are marked as stale, for ever.
    pub async fn run_repairs(&self) {
        loop {
            let feeds = match self.stale.take().await {
                Stale::All => {
                    self.presence.mark_all_stale();
                    self.all()
                }
                Stale::Rooms(rooms) => {
                    for room in &rooms {
                        self.presence.changed_elsewhere(room);
                    }
                    rooms.iter().filter_map(|room| self.find(room)).collect()
                }
            };
            stream::iter(feeds)
                .for_each_concurrent(REPAIRS, |feed| async move {
                    feed.mark_stale();
                    if let Some(guard) = feed.try_repair() {
                        self.repair(&feed, guard, Duration::ZERO).await;
                    }
                })
                .await;
        }
    }

    /// Compares the rooms that have subscribers here with those written to lately, for ever: an instance that died between
    /// writing and publishing told nobody.
    pub async fn run_comparisons(self: &Arc<Self>) {
        let mut ticks = tokio::time::interval(COMPARE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut behind: HashMap<RoomId, u64> = HashMap::new();
        loop {
            ticks.tick().await;
            let mut partitions: Vec<u16> = self
                .rooms
                .iter()
                .map(|feed| partition_of(feed.key().as_str()))
                .collect();
            partitions.sort_unstable();
            partitions.dedup();
            let written = match self.store.recently_written(&partitions).await {
                Ok(written) => written,
                Err(error) => {
                    tracing::debug!(%error, "rooms written to lately couldn't be read");
                    continue;
                }
            };
            let was_behind = std::mem::take(&mut behind);
            for (room, last) in written {
                let Some(feed) = self.find(&room) else {
                    continue;
                };
                let Some(head) = feed.head_seq() else {
                    continue;
                };
                if was_behind.get(&room).is_some_and(|last| head < *last) {
                    feed.mark_stale();
                    self.start_repair(&feed);
                }
                if head < last {
                    behind.insert(room, last);
                }
            }
        }
    }

    fn all(&self) -> Vec<Arc<RoomFeed>> {
        self.rooms
            .iter()
            .map(|entry| entry.value().clone())
            .collect()
    }

    /// The `seq` up to which subscribers of a room here have all events.
    pub fn head_seq(&self, room: &RoomId) -> Option<u64> {
        self.find(room)?.head_seq()
    }

    /// Waits until a subscriber that is just being added to a room is added, and was sent what it missed.
    pub fn wait_for_subscribers(&self, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            drop(feed.lock());
        }
    }

    /// Ends all subscriptions to a room that was deleted.
    pub fn close(&self, room: &RoomId) {
        if let Some(feed) = self.find(room) {
            self.retire(&feed);
        }
        let topic = topics::room(room);
        for socket in self.hub.sockets(&topic) {
            socket.leave(&topic);
        }
        self.presence.remove_room(room);
    }

    /// Number of rooms held.
    pub fn count(&self) -> usize {
        self.rooms.len()
    }

    /// Drops rooms without subscribers, for ever.
    pub async fn run_sweeps(&self) {
        let mut idle: Vec<Arc<RoomFeed>> = Vec::new();
        loop {
            tokio::time::sleep(SWEEP).await;
            let was_idle = std::mem::take(&mut idle);
            for feed in self.all() {
                if self.hub.subscribers(feed.topic()) > 0 {
                    continue;
                }
                if was_idle.iter().any(|before| Arc::ptr_eq(before, &feed)) {
                    self.retire_if_empty(&feed);
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
    async fn loaded(self: &Arc<Self>, room: &RoomId) -> Result<Arc<RoomFeed>, AppError> {
        let feed = self.find(room).unwrap_or_else(|| {
            let new = || RoomFeed::new(room.clone(), &self.bus, self.pending_bytes.clone());
            self.rooms
                .entry(room.clone())
                .or_insert_with(|| Arc::new(new()))
                .clone()
        });
        if feed.head_seq().is_some() {
            return Ok(feed);
        }
        let loaded = feed.load(async {
            feed.subscribed().await;
            // The feed collects events from here on, so the head can't be too old.
            match self.store.head(room).await {
                Ok(head) => {
                    if feed.loaded(&self.hub, head) == Released::Early {
                        self.start_repair(&feed);
                    }
                    Ok(())
                }
                // Nobody can have been subscribed yet. Whoever comes next tries again.
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
    fn start_over(&self, feed: &Arc<RoomFeed>, head_seq: u64) {
        tracing::error!(room = %feed.id(), head_seq, "a room's feed has a gap; its subscribers start over");
        self.retire(feed);
        let resync = wire::resync(feed.id(), head_seq);
        for user in self.presence.local().of_room(feed.id()) {
            for socket in self.user_sockets.of_user(&user) {
                if socket.leave(feed.topic()) {
                    self.presence.leave(feed.id(), &user);
                    if let Some(frame) = &resync {
                        socket.send(frame);
                    }
                }
            }
        }
    }

    fn retire_if_empty(&self, feed: &Arc<RoomFeed>) {
        let mut state = feed.lock();
        if self.hub.subscribers(feed.topic()) > 0 {
            return;
        }
        state.retire();
        drop(state);
        self.remove(feed);
    }

    fn retire(&self, feed: &Arc<RoomFeed>) {
        feed.retire();
        self.remove(feed);
    }

    fn remove(&self, feed: &Arc<RoomFeed>) {
        self.rooms
            .remove_if(feed.id(), |_, found| Arc::ptr_eq(found, feed));
    }
}
