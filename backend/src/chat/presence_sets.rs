//! Presence in a fleet: for each room and instance a set in Redis of the users who have a connection there.
//!
//! Only the sets of live instances count, so an instance that dies takes its users with it as soon as its lease ends,
//! and nobody has to clean up behind it: its sets expire. What an instance says is written in the order of its
//! connections' coming and going, always as it is now. A change is announced on the room's topic, and whoever has
//! subscribers there looks at the union of the sets.
//!
//! The rooms of each partition are written and looked at for themselves: a master that is away or hangs holds up nobody
//! but those whose rooms it has.

mod partition;

use std::{
    collections::{BTreeSet, HashSet},
    sync::LazyLock,
    time::Duration,
};

use dashmap::DashMap;
use futures_util::future::join_all;
use protocol::{ErrorCode, Presence as PresenceAnswer, RoomId, UserId, limits::ONLINE_MAX};
use redis_client::{Command, PARTITIONS, RedisClient, Script, cmd, partition_of, tag};
use storage::StoreError;
use tokio::{sync::Notify, time::Instant};

use self::partition::Partition;
use super::{
    presence::{COUNT_EVERY, tell, tell_count},
    topics,
};
use crate::{
    app::{App, SharedApp},
    bus::Message,
    error::AppError,
};

/// The least time between two looks at a small room; at a large one it is [`COUNT_EVERY`].
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A set that isn't written again for so long belongs to an instance that is no more.
const SET_LIFE_SECONDS: u32 = 3_600;
const SAY_AGAIN_EVERY: Duration = Duration::from_secs(1_200);

/// How long who asks for those online waits for this instance's own to be written.
const WRITE_WAIT: Duration = Duration::from_millis(100);

/// After Redis refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the users of several sets exactly, and names some of them.
static UNION: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("presence_union.lua")));

/// The sets of this instance, and what was told of the union.
pub struct PresenceSets {
    client: RedisClient,
    prefix: String,
    /// By number.
    partitions: Box<[Partition]>,
    /// Everything has to be written anew.
    to_say_again: Notify,
    /// What the subscribers here know; of rooms that have some.
    told: DashMap<RoomId, Told>,
}

#[derive(Debug, Clone)]
struct Told {
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
    /// Sets under keys that begin with `prefix`.
    pub fn new(client: RedisClient, prefix: &str) -> Self {
        Self {
            client,
            prefix: prefix.to_owned(),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            to_say_again: Notify::new(),
            told: DashMap::new(),
        }
    }

    fn partition(&self, room: &RoomId) -> &Partition {
        &self.partitions[usize::from(partition_of(room.as_str()))]
    }

    /// `user` came to `room` here or left it, and who they were is looked up when it is written.
    pub(super) fn note(&self, room: &RoomId, user: &UserId, empty: bool) {
        if empty {
            self.told.remove(room);
        }
        self.partition(room).note(room, user);
    }

    pub(super) fn say_again(&self) {
        self.to_say_again.notify_one();
    }

    pub(super) fn forget(&self, room: &RoomId) {
        self.told.remove(room);
        self.partition(room).forget(room);
    }

    /// How many the subscribers here know of.
    pub(super) fn told(&self, room: &RoomId) -> usize {
        self.told
            .get(room)
            .map_or(0, |told| told.online.count() as usize)
    }

    /// Has a look at the room soon.
    pub(super) fn look_at(&self, room: &RoomId) {
        let not_before = match self.told.get(room) {
            None => Instant::now(),
            Some(told) => {
                let every = match told.online {
                    Online::Few(_) => LOOK_EVERY,
                    Online::Many(_) => COUNT_EVERY,
                };
                told.at + every
            }
        };
        self.partition(room).look_at(room, not_before);
    }

    /// Writes and looks, for ever.
    pub(super) async fn run(&self, app: &SharedApp) {
        let partitions = self.partitions.iter();
        let working = partitions.map(|partition| async {
            tokio::join!(self.write(app, partition), self.look(app, partition))
        });
        tokio::join!(join_all(working), self.repeat(app), self.refresh());
    }

    /// The expiry is for the sets of the dead only.
    async fn refresh(&self) {
        loop {
            tokio::time::sleep(SAY_AGAIN_EVERY).await;
            self.say_again();
        }
    }

    async fn repeat(&self, app: &App) {
        loop {
            self.to_say_again.notified().await;
            for (room, users) in app.presence.subscribed() {
                self.partition(&room).put_back(room, users);
            }
        }
    }

    async fn write(&self, app: &App, partition: &Partition) {
        loop {
            let batch = partition.take_unwritten().await;
            let taken = self.write_batch(app, &batch).await;
            partition.written(batch, taken);
            if !taken {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Writes each user's presence as it is now; says whether Redis took it.
    async fn write_batch(&self, app: &App, batch: &[(RoomId, HashSet<UserId>)]) -> bool {
        let own = app.instances.own().to_string();
        let mut commands: Vec<Command> = Vec::new();
        for (room, users) in batch {
            let key = self.key(room, &own);
            let (here, gone): (Vec<_>, Vec<_>) = users
                .iter()
                .map(UserId::as_str)
                .partition(|user| app.presence.is_here(room, &UserId::trusted(*user)));
            if !gone.is_empty() {
                commands.push(cmd("SREM").arg(&key).arg(gone).into());
            }
            if !here.is_empty() {
                commands.push(cmd("SADD").arg(&key).arg(here).into());
                commands.push(cmd("EXPIRE").arg(&key).arg(SET_LIFE_SECONDS).into());
            }
        }
        for result in self.client.run_all::<i64>(commands).await {
            if let Err(error) = result {
                tracing::debug!(%error, "presence is not written");
                return false;
            }
        }
        for (room, _) in batch {
            app.bus.send(&topics::room(room), &Message::Presence);
            app.presence.changed_elsewhere(room);
        }
        true
    }

    async fn look(&self, app: &App, partition: &Partition) {
        loop {
            let rooms = partition.take_due().await;
            if !self.look_at_batch(app, &rooms).await {
                let later = Instant::now() + PAUSE;
                for room in &rooms {
                    partition.look_at(room, later);
                }
            }
        }
    }

    async fn look_at_batch(&self, app: &App, rooms: &[RoomId]) -> bool {
        let commands = rooms.iter().map(|room| self.union(app, room)).collect();
        let results = self.client.run_all::<(u64, Vec<String>)>(commands).await;
        let mut all = true;
        for (room, result) in rooms.iter().zip(results) {
            match result {
                Ok((count, users)) => match is_quiet(app, room, count).await {
                    Ok(false) => self.tell(app, room, count, users),
                    Ok(true) => self.tell(app, room, 0, Vec::new()),
                    Err(error) => {
                        tracing::debug!(%error, "whether a block stands in a room isn't known");
                        all = false;
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, "presence can't be read");
                    all = false;
                }
            }
        }
        all
    }

    fn union(&self, app: &App, room: &RoomId) -> Command {
        let keys: Vec<String> = app
            .instances
            .live()
            .iter()
            .map(|instance| self.key(room, &instance.id.to_string()))
            .collect();
        UNION.call(&keys, ONLINE_MAX)
    }

    fn key(&self, room: &RoomId, instance: &str) -> String {
        let tag = tag(partition_of(room.as_str()));
        format!("{{{tag}}}{}:online:{room}:{instance}", self.prefix)
    }

    /// Tells the subscribers here what is different from what they were told last.
    fn tell(&self, app: &App, room: &RoomId, count: u64, users: Vec<String>) {
        let here = app.presence.users_here(room);
        if here.is_empty() {
            self.told.remove(room);
            return;
        }
        let online = if count as usize > ONLINE_MAX {
            Online::Many(count)
        } else {
            Online::Few(users.into_iter().map(UserId::trusted).collect())
        };
        let at = Instant::now();
        let new = Told {
            at,
            online: online.clone(),
        };
        let before = self.told.insert(room.clone(), new).map(|told| told.online);
        match (before, online) {
            // Whoever is subscribed since just now learns of themselves, not of all who were there.
            (None, Online::Few(now)) => {
                for user in here.iter().filter(|user| now.contains(*user)) {
                    tell(app, room, user, true);
                }
            }
            (Some(Online::Few(before)), Online::Few(now)) => {
                for user in before.difference(&now) {
                    tell(app, room, user, false);
                }
                for user in now.difference(&before) {
                    tell(app, room, user, true);
                }
            }
            (before, now) => {
                if before.as_ref() != Some(&now) {
                    tell_count(app, room, now.count());
                }
            }
        }
    }

    /// Who is online, asked now.
    pub(super) async fn online(
        &self,
        app: &App,
        room: &RoomId,
    ) -> Result<PresenceAnswer, AppError> {
        // Whoever has just joined here is among them.
        self.partition(room).settle(room, WRITE_WAIT).await;
        let (count, users) = self
            .client
            .run::<(u64, Vec<String>)>(self.union(app, room))
            .await
            .map_err(|error| {
                tracing::debug!(%error, "presence can't be read");
                AppError::new(
                    ErrorCode::Unavailable,
                    "who is online isn't known now; try again",
                )
            })?;
        Ok(PresenceAnswer {
            count,
            online: users.into_iter().map(UserId::trusted).collect(),
        })
    }
}

/// Whether it is a direct room in which neither hears of the other.
async fn is_quiet(app: &App, room: &RoomId, count: u64) -> Result<bool, StoreError> {
    // There are two in a direct room.
    Ok(count <= 2 && app.blocked_rooms.contains(&app.store, room).await?)
}
