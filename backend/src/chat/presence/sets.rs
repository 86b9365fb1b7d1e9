//! Presence in a fleet: for each room and instance a set in Redis of the users who have a connection there.
//!
//! Only the sets of live instances count. The users of an instance that dies go offline when its lease expires, and nobody
//! has to clean up: its sets expire. An instance always writes a user's presence as it is now, in the order of the
//! changes. A change is announced on the room's topic, and every instance with subscribers there checks the union of the
//! sets.
//!
//! The rooms of each partition are written and checked independently: a master that is away or hangs delays only the
//! rooms that it has.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use dashmap::DashMap;
use futures_util::future::join_all;
use protocol::{ErrorCode, Presence as PresenceAnswer, RoomId, UserId, limits::ONLINE_MAX};
use redis_client::{Command, PARTITIONS, RedisClient, Script, cmd, partition_of, tag};
use storage::StoreError;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    local_users::LocalUsers,
    notices::{COUNT_EVERY, PresenceNotices},
    partition::Partition,
};
use crate::{
    chat::blocked_rooms::BlockedRooms,
    error::AppError,
    fleet::{
        bus::{Bus, Kind, Message, Writer},
        instances::Instances,
    },
    topics,
};

/// The least time between two checks of a small room; of a large one it is [`COUNT_EVERY`].
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// A set that isn't written again for so long belongs to an instance that is no longer live.
const SET_LIFE_SECONDS: u32 = 3_600;
const REFRESH_EVERY: Duration = Duration::from_secs(1_200);

/// How long a query waits until this instance's own changes are written.
const FLUSH_TIME: Duration = Duration::from_millis(100);

/// The pause after Redis refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the users of several sets exactly, and names some of them.
static UNION: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("union.lua")));

/// The sets of this instance, and what it published of the union.
pub struct PresenceSets {
    parts: SetParts,
    key_prefix: String,
    notices: PresenceNotices,
    /// By number.
    partitions: Box<[Partition]>,
    /// What the subscribers here know; of rooms that have some.
    published: DashMap<RoomId, Published>,
}

/// What [`PresenceSets`] use.
pub struct SetParts {
    /// The Redis of the sets.
    pub redis: RedisClient,
    /// The users of this instance's connections.
    pub local: Arc<LocalUsers>,
    /// The live instances.
    pub instances: Instances,
    /// For announcing changes.
    pub bus: Arc<Bus>,
    /// Rooms in which nobody hears of the other.
    pub blocked_rooms: Arc<BlockedRooms>,
}

/// Who is online in a room changed; sent on its topic.
struct PresenceMessage;

impl Message for PresenceMessage {
    fn kind(&self) -> Kind {
        Kind::PRESENCE
    }

    fn write(&self, _: &mut Writer<'_>) {}
}

#[derive(Debug, Clone)]
struct Published {
    at: Instant,
    online: Online,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Online {
    /// At most [`ONLINE_MAX`].
    Few(BTreeSet<UserId>),
    Many(u64),
}

impl Online {
    fn count(&self) -> u64 {
        match self {
            Self::Few(users) => users.len() as u64,
            Self::Many(count) => *count,
        }
    }
}

impl PresenceSets {
    /// Sets under keys that begin with `key_prefix`, whose changes are sent to the subscribers of `hub`.
    pub fn new(parts: SetParts, hub: gateway::Hub, key_prefix: &str) -> Self {
        Self {
            parts,
            key_prefix: key_prefix.to_owned(),
            notices: PresenceNotices::new(hub),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            published: DashMap::new(),
        }
    }

    fn partition(&self, room: &RoomId) -> &Partition {
        &self.partitions[usize::from(partition_of(room.as_str()))]
    }

    /// The presence of `user` in `room` on this instance changed. What it is then is looked up when it is written.
    pub(super) fn record_change(&self, room: &RoomId, user: &UserId, is_empty: bool) {
        if is_empty {
            self.published.remove(room);
        }
        self.partition(room).record(room, user);
    }

    pub(super) fn remove_room(&self, room: &RoomId) {
        self.published.remove(room);
        self.partition(room).remove_room(room);
    }

    /// The number of users that the subscribers here know to be online.
    pub(super) fn published(&self, room: &RoomId) -> usize {
        self.published
            .get(room)
            .map_or(0, |published| published.online.count() as usize)
    }

    /// Schedules a check of a room.
    pub(super) fn schedule_check(&self, room: &RoomId) {
        let not_before = match self.published.get(room) {
            None => Instant::now(),
            Some(published) => {
                let every = match published.online {
                    Online::Few(_) => CHECK_EVERY,
                    Online::Many(_) => COUNT_EVERY,
                };
                published.at + every
            }
        };
        self.partition(room).schedule_check(room, not_before);
    }

    /// Schedules a check of all rooms with users here.
    pub(super) fn schedule_all(&self) {
        for room in self.parts.local.rooms() {
            self.schedule_check(&room);
        }
    }

    /// Writes and checks, for ever.
    pub(super) async fn run(&self) {
        let partitions = self.partitions.iter();
        let working = partitions
            .map(|partition| async { tokio::join!(self.write(partition), self.check(partition)) });
        tokio::join!(
            join_all(working),
            self.refresh(self.parts.instances.reclaims()),
            self.follow_instances()
        );
    }

    /// Writes everything again before it expires, and when Redis may have lost it.
    async fn refresh(&self, mut reclaims: watch::Receiver<u64>) {
        loop {
            // Either is a reason to write, but for the end of the registry.
            if let Ok(Err(_)) = tokio::time::timeout(REFRESH_EVERY, reclaims.changed()).await {
                return;
            }
            self.republish_all();
        }
    }

    fn republish_all(&self) {
        let local = &self.parts.local;
        for room in local.rooms() {
            let users = local.of_room(&room);
            self.partition(&room).record_all(room, users);
        }
    }

    /// Users come and go with their instances.
    async fn follow_instances(&self) {
        let mut changes = self.parts.instances.changes();
        while changes.changed().await.is_ok() {
            self.schedule_all();
        }
    }

    async fn write(&self, partition: &Partition) {
        loop {
            let batch = partition.take_pending().await;
            let is_written = self.write_batch(&batch).await;
            partition.finish(batch, is_written);
            if !is_written {
                sleep(PAUSE).await;
            }
        }
    }

    /// Writes each user's presence as it is now. True if Redis accepted it.
    async fn write_batch(&self, batch: &[(RoomId, HashSet<UserId>)]) -> bool {
        let own = self.parts.instances.own().to_string();
        let mut commands: Vec<Command> = Vec::new();
        for (room, users) in batch {
            let key = self.key(room, &own);
            let (here, gone): (Vec<_>, Vec<_>) = users
                .iter()
                .map(UserId::as_str)
                .partition(|user| self.parts.local.contains(room, &UserId::trusted(*user)));
            if !gone.is_empty() {
                commands.push(cmd("SREM").arg(&key).arg(gone).into());
            }
            if !here.is_empty() {
                commands.push(cmd("SADD").arg(&key).arg(here).into());
                commands.push(cmd("EXPIRE").arg(&key).arg(SET_LIFE_SECONDS).into());
            }
        }
        for result in self.parts.redis.run_all::<i64>(commands).await {
            if let Err(error) = result {
                tracing::debug!(%error, "presence couldn't be written");
                return false;
            }
        }
        for (room, _) in batch {
            self.parts.bus.send(&topics::room(room), &PresenceMessage);
            if self.parts.local.count(room) > 0 {
                self.schedule_check(room);
            }
        }
        true
    }

    async fn check(&self, partition: &Partition) {
        loop {
            let rooms = partition.take_due().await;
            if !self.check_batch(&rooms).await {
                let later = Instant::now() + PAUSE;
                for room in &rooms {
                    partition.schedule_check(room, later);
                }
            }
        }
    }

    /// True if all could be read.
    async fn check_batch(&self, rooms: &[RoomId]) -> bool {
        let commands = rooms.iter().map(|room| self.union(room)).collect();
        let results = self
            .parts
            .redis
            .run_all::<(u64, Vec<String>)>(commands)
            .await;
        let mut all = true;
        for (room, result) in rooms.iter().zip(results) {
            match result {
                Ok((count, users)) => match self.is_quiet(room, count).await {
                    Ok(false) => self.publish(room, count, users),
                    Ok(true) => self.publish(room, 0, Vec::new()),
                    Err(error) => {
                        tracing::debug!(%error, "blocks of a room couldn't be read");
                        all = false;
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, "presence couldn't be read");
                    all = false;
                }
            }
        }
        all
    }

    fn union(&self, room: &RoomId) -> Command {
        let keys: Vec<String> = self
            .parts
            .instances
            .live()
            .iter()
            .map(|instance| self.key(room, &instance.id.to_string()))
            .collect();
        UNION.call(&keys, ONLINE_MAX)
    }

    fn key(&self, room: &RoomId, instance: &str) -> String {
        let tag = tag(partition_of(room.as_str()));
        format!("{{{tag}}}{}:online:{room}:{instance}", self.key_prefix)
    }

    /// Sends the subscribers here the difference to what was published last.
    fn publish(&self, room: &RoomId, count: u64, users: Vec<String>) {
        let here = self.parts.local.of_room(room);
        if here.is_empty() {
            self.published.remove(room);
            return;
        }
        let online = if count as usize > ONLINE_MAX {
            Online::Many(count)
        } else {
            Online::Few(users.into_iter().map(UserId::trusted).collect())
        };
        let at = Instant::now();
        let new = Published {
            at,
            online: online.clone(),
        };
        let before = self.published.insert(room.clone(), new);
        let before = before.map(|published| published.online);
        match (before, online) {
            // A new subscriber is told of itself, not of all who were there before.
            (None, Online::Few(now)) => {
                for user in here.iter().filter(|user| now.contains(*user)) {
                    self.notices.user(room, user, true);
                }
            }
            (Some(Online::Few(before)), Online::Few(now)) => {
                for user in before.difference(&now) {
                    self.notices.user(room, user, false);
                }
                for user in now.difference(&before) {
                    self.notices.user(room, user, true);
                }
            }
            (before, now) => {
                if before.as_ref() != Some(&now) {
                    self.notices.count(room, now.count());
                }
            }
        }
    }

    /// Who is online now.
    pub(super) async fn online(&self, room: &RoomId) -> Result<PresenceAnswer, AppError> {
        // Includes whoever has just joined here.
        self.partition(room).flush(room, FLUSH_TIME).await;
        let (count, users) = self
            .parts
            .redis
            .run::<(u64, Vec<String>)>(self.union(room))
            .await
            .map_err(|error| {
                tracing::debug!(%error, "presence couldn't be read");
                AppError::new(ErrorCode::Unavailable, "presence is unavailable; try again")
            })?;
        Ok(PresenceAnswer {
            count,
            online: users.into_iter().map(UserId::trusted).collect(),
        })
    }

    /// True if it is a direct room in which neither hears of the other.
    async fn is_quiet(&self, room: &RoomId, count: u64) -> Result<bool, StoreError> {
        // There are two in a direct room.
        Ok(count <= 2 && self.parts.blocked_rooms.contains(room).await?)
    }
}
