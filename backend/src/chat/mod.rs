//! Chat: rooms, their members and what is written in them. [`Chat`] holds the parts; the rules (who may do what, and what
//! the others learn of it) are functions that take it, one file per concern. No HTTP and no sockets' events in here; both
//! edges call these rules.

pub mod access;
pub mod blocked_rooms;
pub mod change_message;
pub mod history;
pub mod instance_messages;
pub mod members;
pub mod mentions;
pub mod news;
pub mod online;
pub mod presence;
pub mod process_attachment;
pub mod publish_queues;
pub mod read_receipts;
pub mod reconciliation;
pub mod removals;
pub mod replay;
pub mod room_feed;
pub mod room_feeds;
pub mod rooms;
pub mod search_queue;
pub mod send_message;
pub mod stale_rooms;
pub mod subscriber;
pub mod subscriptions;
pub mod typing;
pub mod unread;

use std::sync::Arc;

use gateway::Hub;
use job_queue::JobQueue;
use protocol::{RoomId, UserId};
use redis_client::RedisClient;
use storage::{Membership, MessageStore, StoreError};
use telemetry::Histogram;
use tokio::task::JoinSet;

use self::{
    blocked_rooms::{BlockChange, BlockedRooms},
    instance_messages::{RoomChange, UnreadMessage},
    news::News,
    presence::{
        Presence,
        sets::{PresenceSets, SetParts},
    },
    publish_queues::PublishQueues,
    reconciliation::{Reconciliation, ReconciliationStats},
    removals::RemovalMark,
    room_feed::FeedEvent,
    room_feeds::RoomFeeds,
    search_queue::SearchQueues,
    subscriptions::Subscriptions,
    unread::UnreadNotices,
};
use crate::{
    delivery::{Delivery, user_sockets::UserSockets},
    fleet::{
        bus::{Bus, Kind, Lost, Malformed, Reader, Receiver},
        instances::Instances,
    },
    limits::Limits,
    media_urls::MediaUrls,
    topics,
};

/// Everything that chat is made of.
pub struct Chat {
    store: MessageStore,
    bus: Arc<Bus>,
    delivery: Delivery,
    user_sockets: Arc<UserSockets>,
    limits: Arc<Limits>,
    publish_queues: PublishQueues,
    feeds: Arc<RoomFeeds>,
    subscriptions: Arc<Subscriptions>,
    presence: Arc<Presence>,
    blocked_rooms: Arc<BlockedRooms>,
    reconciliation: Reconciliation,
    unread_notices: UnreadNotices,
    search_queues: SearchQueues,
    delivery_seconds: Histogram,
    news: Arc<News>,
    urls: Arc<MediaUrls>,
}

/// What chat is built from.
pub struct ChatParts {
    /// The message store.
    pub store: MessageStore,
    /// The topics of this instance.
    pub hub: Hub,
    /// The bus between instances.
    pub bus: Arc<Bus>,
    /// Events to clients.
    pub delivery: Delivery,
    /// The connected users.
    pub user_sockets: Arc<UserSockets>,
    /// Rate limits.
    pub limits: Arc<Limits>,
    /// Direct rooms that are closed by a block.
    pub blocked_rooms: BlockedRooms,
    /// Of a fleet.
    pub fleet: Option<ChatFleet>,
    /// The number of queues between the store and the subscribers.
    pub publish_queues: usize,
    /// From an append to the queues of the subscribers here.
    pub delivery_seconds: Histogram,
    /// URLs of what is attached.
    pub urls: Arc<MediaUrls>,
    /// What is done later; where there are tables.
    pub jobs: Option<JobQueue>,
}

/// What presence in a fleet is built from.
pub struct ChatFleet {
    /// The live instances.
    pub instances: Instances,
    /// The Redis of presence.
    pub redis: RedisClient,
    /// What its keys begin with, behind their tag.
    pub key_prefix: String,
}

impl Chat {
    /// Chat of one instance. Starts the publish queues on the current runtime.
    pub fn new(parts: ChatParts) -> Self {
        let ChatParts {
            store,
            hub,
            bus,
            user_sockets,
            ..
        } = parts;
        let blocked_rooms = Arc::new(parts.blocked_rooms);
        let presence = Arc::new(match parts.fleet {
            None => Presence::in_process(hub.clone(), blocked_rooms.clone()),
            Some(fleet) => Presence::of_fleet(hub.clone(), blocked_rooms.clone(), |local| {
                let parts = SetParts {
                    redis: fleet.redis,
                    local,
                    instances: fleet.instances,
                    bus: bus.clone(),
                    blocked_rooms: blocked_rooms.clone(),
                };
                PresenceSets::new(parts, hub.clone(), &fleet.key_prefix)
            }),
        });
        let feeds = Arc::new(RoomFeeds::new(
            store.clone(),
            hub,
            bus.clone(),
            user_sockets.clone(),
            presence.clone(),
            parts.urls.clone(),
        ));
        let subscriptions = Arc::new(Subscriptions::new(
            feeds.clone(),
            presence.clone(),
            user_sockets.clone(),
        ));
        let news = Arc::new(News::new(parts.jobs));
        Self {
            reconciliation: Reconciliation::new(
                store.clone(),
                presence.local().clone(),
                subscriptions.clone(),
            ),
            unread_notices: UnreadNotices::new(
                store.clone(),
                bus.clone(),
                user_sockets.clone(),
                news.clone(),
            ),
            news,
            publish_queues: PublishQueues::start(parts.publish_queues),
            search_queues: SearchQueues::new(parts.limits.clone()),
            delivery: parts.delivery,
            limits: parts.limits,
            delivery_seconds: parts.delivery_seconds,
            urls: parts.urls,
            store,
            bus,
            user_sockets,
            feeds,
            subscriptions,
            presence,
            blocked_rooms,
        }
    }

    /// Starts what chat does from time to time.
    pub fn spawn_tasks(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let chat = self.clone();
        tasks.spawn(async move { chat.feeds.run_sweeps().await });
        let chat = self.clone();
        tasks.spawn(async move { chat.presence.run().await });
        let chat = self.clone();
        tasks.spawn(async move { chat.reconciliation.run().await });
        let chat = self.clone();
        tasks.spawn(async move { chat.unread_notices.run().await });
        if self.bus.has_peers() {
            let chat = self.clone();
            tasks.spawn(async move { chat.feeds.run_comparisons().await });
            let chat = self.clone();
            tasks.spawn(async move { chat.feeds.run_repairs().await });
        }
    }

    /// Events to clients.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// What has happened, for those who derive something of it.
    pub fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// To be called before memberships are read that subscriptions depend on.
    pub fn mark(&self) -> RemovalMark {
        self.subscriptions.mark()
    }

    /// A user's memberships in rooms, in their order; `None` for rooms that don't exist.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn memberships(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Membership>>, StoreError> {
        self.store.memberships(user, rooms).await
    }

    /// A subscription ended because the connection closed or fell behind.
    pub fn unsubscribed(&self, room: &RoomId, user: &UserId) {
        self.presence.leave(room, user);
    }

    /// The `seq` up to which subscribers of a room here have all events; `None` without subscribers.
    pub fn head_seq(&self, room: &RoomId) -> Option<u64> {
        self.feeds.head_seq(room)
    }

    /// Rooms with subscribers here, and those that had some a moment ago.
    pub fn rooms_held(&self) -> usize {
        self.feeds.count()
    }

    /// Counters of the comparison of subscriptions with memberships.
    pub fn reconciliation(&self) -> ReconciliationStats {
        self.reconciliation.stats()
    }

    /// A queue of searches for each user; searches of users take a permit as well.
    pub fn search_queues(&self) -> &SearchQueues {
        &self.search_queues
    }

    /// A block between two users was added or removed: their direct room is closed or opened, on every instance.
    ///
    /// # Errors
    /// Those of the store. Adding or removing the block again makes up for it.
    pub async fn block_changed(&self, one: &UserId, other: &UserId) -> Result<(), StoreError> {
        let Some(room) = self.store.direct_room_id(one, other).await? else {
            return Ok(());
        };
        let announce = |change| match change {
            BlockChange::Closed => self.presence.announce_all(&room, false),
            BlockChange::Opened => self.presence.announce_all(&room, true),
            BlockChange::Unknown => {}
        };
        self.blocked_rooms.reload(&room, announce).await?;
        self.publish_change(&RoomChange::Changed(room));
        Ok(())
    }

    /// Applies a change here before this returns, and on the other instances as soon as they receive it.
    fn publish_change(&self, change: &RoomChange) {
        self.bus.send_to_all(change);
        self.apply_change(change);
    }

    fn apply_change(&self, change: &RoomChange) {
        match change {
            RoomChange::MemberChanged { room, user } => self.store.forget_member(room, user),
            RoomChange::MembersRemoved { room, users } => {
                for user in users {
                    self.store.forget_member(room, user);
                    self.subscriptions.end(room, user);
                }
            }
            RoomChange::Changed(room) => {
                self.store.forget_room(room);
                // A block between the two of a direct room may have been added or removed.
                self.presence.changed_elsewhere(room);
            }
            RoomChange::Deleted(room) => {
                self.store.forget_room(room);
                self.feeds.close(room);
            }
        }
    }
}

impl Receiver for Chat {
    fn kinds(&self) -> &'static [Kind] {
        const KINDS: [Kind; 8] = {
            let [one, two, three, four, five] = RoomChange::KINDS;
            let [six, seven, eight] = [Kind::ROOM_EVENT, Kind::UNREAD, Kind::PRESENCE];
            [one, two, three, four, five, six, seven, eight]
        };
        &KINDS
    }

    fn receive(&self, topic: &str, kind: Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        match kind {
            Kind::ROOM_EVENT => {
                let event = FeedEvent::read(&mut fields)?;
                if let Some(room) = topics::room_of(topic) {
                    self.feeds.release(&room, event);
                }
            }
            Kind::UNREAD => {
                let UnreadMessage { room, head_seq } = UnreadMessage::read(&mut fields)?;
                if let Some(user) = topics::user_of(topic) {
                    self.unread_notices.add(&room, &user, head_seq);
                }
            }
            Kind::PRESENCE => {
                if let Some(room) = topics::room_of(topic) {
                    self.presence.changed_elsewhere(&room);
                }
            }
            kind => self.apply_change(&RoomChange::read(kind, &mut fields)?),
        }
        Ok(())
    }

    fn interrupted(&self, lost: &Lost<'_>) {
        match lost {
            Lost::All => self.feeds.stale().mark_all(),
            Lost::Of(topics) => {
                let rooms = topics.iter().filter_map(|topic| topics::room_of(topic));
                self.feeds.stale().mark(rooms);
            }
        }
        if lost.includes_everybody() {
            // Users included: accounts rely on it.
            self.store.forget_everything();
            self.reconciliation.mark_stale();
        }
    }
}
