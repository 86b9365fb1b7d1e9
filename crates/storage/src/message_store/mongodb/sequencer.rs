//! Redis as the one who gives out places: a counter a room, so that two instances that write to one room don't meet at
//! the same place. It is asked once a round, for all rooms of a partition together.
//!
//! What must stay true: nothing is believed of Redis that the log doesn't confirm. A counter that is lost, behind or ahead,
//! and a `clientId` that is forgotten or wrongly remembered, cost time, never a message: the unique keys of the log decide.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use protocol::{Epoch, RoomId, UserId};
use redis_client::{Command, RedisClient, RedisError, Script, cmd, partition_of, tag};

use super::visible_head::RoomHead;

static RESERVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("sequencer/reserve.lua")));
static RAISE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("sequencer/raise.lua")));
static RECENT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("sequencer/recent.lua")));

/// How long a `clientId` is remembered: the retries of a client that lost an answer come sooner. What comes later is
/// recognised by the log, at the cost of a void place.
const REMEMBERED_SECONDS: u64 = 120;

/// How far back [`Sequencer::recent`] looks: several polls of a second each.
const RECENT_MS: u64 = 10_000;

/// A message as its sender calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub sender: UserId,
    pub client_id: String,
}

/// A message with a name, and where it is.
pub(super) type Named = (RoomId, Name, u64);

/// What a room needs.
#[derive(Clone)]
pub(super) struct Want {
    pub room: RoomId,
    /// What is given out is above all that this instance knows to be taken.
    pub head: Arc<RoomHead>,
    /// Messages that may be there already.
    pub names: Vec<Name>,
    /// Places beside those for the names.
    pub unnamed: usize,
}

/// What a room got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    /// The first place, to be followed by those after it: one for each of `unnamed` and for each name not `found`.
    pub first: u64,
    /// The place of each name's message, if Redis remembers one.
    pub found: Vec<Option<u64>>,
}

/// Why a room got nothing.
#[derive(Debug)]
pub(super) enum NoPlace {
    /// The counter is missing: it is to be raised to the end of the log.
    Missing,
    /// Redis can't be asked, or doesn't answer as it should.
    Redis(RedisError),
}

/// Gives out places by way of Redis.
pub(super) struct Sequencer {
    redis: RedisClient,
    prefix: String,
    /// Messages that are durable and of which Redis isn't known to have been told yet. A client that has its answer and
    /// sends again at once finds its message here.
    untold: Mutex<HashMap<(RoomId, Name), u64>>,
}

impl Sequencer {
    pub(super) fn new(redis: RedisClient, prefix: String) -> Self {
        Self {
            redis,
            prefix,
            untold: Mutex::default(),
        }
    }

    /// Places for each room, in the order of `wants`. Rooms of one partition share a call, calls are pipelined.
    pub(super) async fn reserve(&self, wants: &[Want]) -> Vec<Result<Got, NoPlace>> {
        let mut partitions: HashMap<u16, Vec<usize>> = HashMap::new();
        for (index, want) in wants.iter().enumerate() {
            let rooms = partitions.entry(partition_of(want.room.as_str()));
            rooms.or_default().push(index);
        }
        let partitions: Vec<(u16, Vec<usize>)> = partitions.into_iter().collect();
        let calls = partitions
            .iter()
            .map(|(partition, rooms)| self.reservation(*partition, rooms, wants))
            .collect();
        let answers = self.redis.run_all::<Vec<i64>>(calls).await;
        let mut results: Vec<_> = wants.iter().map(|_| Err(NoPlace::Missing)).collect();
        for ((_, rooms), answer) in partitions.iter().zip(answers) {
            let mut answer = answer.map(Vec::into_iter);
            for &index in rooms {
                let (Some(want), Some(result)) = (wants.get(index), results.get_mut(index)) else {
                    continue;
                };
                *result = match &mut answer {
                    Ok(numbers) => self.got(want, numbers),
                    Err(error) => Err(NoPlace::Redis(error.clone())),
                };
            }
        }
        results
    }

    fn reservation(&self, partition: u16, rooms: &[usize], wants: &[Want]) -> Command {
        let mut keys = vec![self.key(partition, "active"), self.key(partition, "heads")];
        let mut args: Vec<String> = Vec::with_capacity(4 * rooms.len());
        for want in rooms.iter().filter_map(|&index| wants.get(index)) {
            keys.push(self.counter(partition, &want.room, &want.head.epoch));
            let names = want.names.iter();
            keys.extend(names.map(|name| self.name_key(partition, &want.room, name)));
            args.push(want.room.as_str().to_owned());
            args.push(want.head.taken().to_string());
            args.push(want.names.len().to_string());
            args.push(want.unnamed.to_string());
        }
        RESERVE.call(&keys, args)
    }

    fn got(&self, want: &Want, numbers: &mut std::vec::IntoIter<i64>) -> Result<Got, NoPlace> {
        let short = || NoPlace::Redis(RedisError::Unexpected("too few numbers".to_owned()));
        let first = numbers.next().ok_or_else(short)?;
        let mut found = Vec::with_capacity(want.names.len());
        for _ in &want.names {
            let seq = numbers.next().ok_or_else(short)?.unsigned_abs();
            found.push((seq > 0).then_some(seq));
        }
        match u64::try_from(first) {
            Ok(first) => Ok(Got { first, found }),
            Err(_) => Err(NoPlace::Missing),
        }
    }

    /// The place of a message that became durable here a moment ago.
    pub(super) fn untold(&self, room: &RoomId, name: &Name) -> Option<u64> {
        let untold = self.untold.lock();
        if untold.is_empty() {
            return None;
        }
        untold.get(&(room.clone(), name.clone())).copied()
    }

    /// Sets the counter of a room to `last`, unless it is further.
    pub(super) async fn raise(
        &self,
        room: &RoomId,
        epoch: &Epoch,
        last: u64,
    ) -> Result<(), RedisError> {
        let counter = self.counter(partition_of(room.as_str()), room, epoch);
        self.redis.script(&RAISE, &[counter], last).await
    }

    /// Remembers that these messages are durable. [`Self::tell`] is to follow.
    pub(super) fn remember(&self, messages: &[Named]) {
        let mut untold = self.untold.lock();
        for (room, name, seq) in messages {
            untold.insert((room.clone(), name.clone()), *seq);
        }
    }

    /// Tells Redis what was to be remembered. Nobody need wait for that.
    pub(super) async fn tell(&self, messages: Vec<Named>) {
        let commands = messages
            .iter()
            .map(|(room, name, seq)| {
                let key = self.name_key(partition_of(room.as_str()), room, name);
                let mut set = cmd("SET");
                set.arg(key).arg(seq).arg("EX").arg(REMEMBERED_SECONDS);
                Command::from(set)
            })
            .collect();
        let told = self.redis.run_all::<()>(commands).await;
        let failed = told.iter().filter(|told| told.is_err()).count();
        if failed > 0 {
            tracing::debug!(failed, "clientIds weren't remembered");
        }
        let mut untold = self.untold.lock();
        for (room, name, _) in messages {
            untold.remove(&(room, name));
        }
    }

    /// Rooms of these partitions that places were given out of lately, each with the last one. Partitions that can't be
    /// asked are left out.
    pub(super) async fn recent(&self, partitions: &[u16]) -> Vec<(RoomId, u64)> {
        let calls = partitions
            .iter()
            .map(|&partition| {
                let keys = [self.key(partition, "active"), self.key(partition, "heads")];
                RECENT.call(&keys, RECENT_MS)
            })
            .collect();
        let mut rooms = Vec::new();
        let mut failed = None;
        for answer in self.redis.run_all::<Vec<String>>(calls).await {
            match answer {
                Ok(told) => rooms.extend(told.chunks_exact(2).filter_map(|pair| match pair {
                    [room, seq] => Some((room.parse().ok()?, seq.parse().ok()?)),
                    _ => None,
                })),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            tracing::debug!(%error, "not all partitions tell what was written lately");
        }
        rooms
    }

    fn key(&self, partition: u16, name: &str) -> String {
        format!("{{{}}}{}{name}", tag(partition), self.prefix)
    }

    fn counter(&self, partition: u16, room: &RoomId, epoch: &Epoch) -> String {
        self.key(partition, &format!("seq:{room}:{}", epoch.as_str()))
    }

    fn name_key(&self, partition: u16, room: &RoomId, name: &Name) -> String {
        let Name { sender, client_id } = name;
        self.key(partition, &format!("cid:{room}:{sender}:{client_id}"))
    }
}
