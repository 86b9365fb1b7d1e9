//! The counters of `seq`s in Redis, one for each room, so that two instances that write to one room don't choose the same
//! `seq`. They are asked once a round, for all rooms of a partition together.
//!
//! What must stay true: nothing is believed of Redis that the log doesn't confirm. A counter that is lost, behind or ahead,
//! and a `clientId` that is forgotten or wrongly remembered, cost time, never a message: the unique keys of the log decide.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use protocol::{Epoch, RoomId};
use redis_client::{Command, RedisClient, RedisError, Script, cmd, partition_of, tag};

use super::super::log::{IdempotencyKey, RoomHead};

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/reserve.lua")));
static RAISE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/raise.lua")));
static RECENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/recent.lua")));

/// How long a `clientId` is remembered: the retries of a client that lost an answer come sooner. What comes later is
/// recognised by the log, at the cost of a tombstone.
const REMEMBERED_SECONDS: u64 = 120;

/// How far back [`Counters::recent`] looks: several polls of a second each.
const RECENT_MS: u64 = 10_000;

/// A stored message with an idempotency key, and its `seq`.
pub type StoredKey = (RoomId, IdempotencyKey, u64);

/// `seq`s that are to be reserved for a room.
#[derive(Clone)]
pub struct Request {
    pub room: RoomId,
    /// What is granted is above all that this instance knows to be taken.
    pub head: Arc<RoomHead>,
    /// Messages that may be stored already, each of which needs a `seq` otherwise.
    pub keys: Vec<IdempotencyKey>,
    /// How many `seq`s are needed beside those.
    pub without_key: usize,
}

/// `seq`s that were reserved for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The first `seq`, to be followed by those after it: one for each of `without_key` and for each key not `found`.
    pub first: u64,
    /// The `seq` of each key's message, if one is remembered.
    pub found: Vec<Option<u64>>,
}

impl Grant {
    /// The last `seq` of a request for `without_key` beside its keys.
    pub fn last(&self, without_key: usize) -> u64 {
        let with_key = self.found.iter().filter(|found| found.is_none()).count();
        (self.first + (with_key + without_key) as u64).saturating_sub(1)
    }
}

/// Why nothing was granted.
#[derive(Debug)]
pub enum NotGranted {
    /// The counter is missing: it is to be raised to the end of the log.
    Missing,
    /// Redis can't be asked, or doesn't answer as it should.
    Redis(RedisError),
}

/// Reserves `seq`s with Redis' counters.
pub struct Counters {
    redis: RedisClient,
    prefix: String,
    /// Messages that are durable and whose keys aren't known to be in Redis yet. A client that has its answer and sends
    /// again at once finds its message here.
    pending: Mutex<HashMap<(RoomId, IdempotencyKey), u64>>,
}

impl Counters {
    pub fn new(redis: RedisClient, prefix: String) -> Self {
        Self {
            redis,
            prefix,
            pending: Mutex::default(),
        }
    }

    /// Reserves `seq`s for each request, in their order. Rooms of one partition share a call, calls are pipelined.
    pub async fn reserve(&self, requests: &[Request]) -> Vec<Result<Grant, NotGranted>> {
        let mut partitions: HashMap<u16, Vec<usize>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let rooms = partitions.entry(partition_of(request.room.as_str()));
            rooms.or_default().push(index);
        }
        let partitions: Vec<(u16, Vec<usize>)> = partitions.into_iter().collect();
        let calls = partitions
            .iter()
            .map(|(partition, rooms)| self.reservation(*partition, rooms, requests))
            .collect();
        let answers = self.redis.run_all::<Vec<i64>>(calls).await;
        let mut results: Vec<_> = requests.iter().map(|_| Err(NotGranted::Missing)).collect();
        for ((_, rooms), answer) in partitions.iter().zip(answers) {
            let mut answer = answer.map(Vec::into_iter);
            for &index in rooms {
                let (Some(request), Some(result)) = (requests.get(index), results.get_mut(index))
                else {
                    continue;
                };
                *result = match &mut answer {
                    Ok(numbers) => self.grant(request, numbers),
                    Err(error) => Err(NotGranted::Redis(error.clone())),
                };
            }
        }
        results
    }

    fn reservation(&self, partition: u16, rooms: &[usize], requests: &[Request]) -> Command {
        let mut keys = vec![self.key(partition, "active"), self.key(partition, "heads")];
        let mut args: Vec<String> = Vec::with_capacity(4 * rooms.len());
        for request in rooms.iter().filter_map(|&index| requests.get(index)) {
            keys.push(self.counter(partition, &request.room, &request.head.epoch));
            let of_request = request.keys.iter();
            keys.extend(of_request.map(|key| self.key_of(partition, &request.room, key)));
            args.push(request.room.as_str().to_owned());
            args.push(request.head.last_taken().to_string());
            args.push(request.keys.len().to_string());
            args.push(request.without_key.to_string());
        }
        RESERVE.call(&keys, args)
    }

    fn grant(
        &self,
        request: &Request,
        numbers: &mut std::vec::IntoIter<i64>,
    ) -> Result<Grant, NotGranted> {
        let short = || NotGranted::Redis(RedisError::Unexpected("too few numbers".to_owned()));
        let first = numbers.next().ok_or_else(short)?;
        let mut found = Vec::with_capacity(request.keys.len());
        for _ in &request.keys {
            let seq = numbers.next().ok_or_else(short)?.unsigned_abs();
            found.push((seq > 0).then_some(seq));
        }
        match u64::try_from(first) {
            Ok(first) => Ok(Grant { first, found }),
            Err(_) => Err(NotGranted::Missing),
        }
    }

    /// The `seq` of a message that became durable here a moment ago.
    pub fn pending(&self, room: &RoomId, key: &IdempotencyKey) -> Option<u64> {
        let pending = self.pending.lock();
        if pending.is_empty() {
            return None;
        }
        pending.get(&(room.clone(), key.clone())).copied()
    }

    /// Sets the counter of a room to `last`, unless it is further.
    pub async fn raise(&self, room: &RoomId, epoch: &Epoch, last: u64) -> Result<(), RedisError> {
        let counter = self.counter(partition_of(room.as_str()), room, epoch);
        self.redis.script(&RAISE, &[counter], last).await
    }

    /// Remembers that these messages are durable. [`Self::publish`] is to follow.
    pub fn remember(&self, messages: &[StoredKey]) {
        let mut pending = self.pending.lock();
        for (room, key, seq) in messages {
            pending.insert((room.clone(), key.clone()), *seq);
        }
    }

    /// Stores in Redis what was remembered. Nobody need wait for that.
    pub async fn publish(&self, messages: Vec<StoredKey>) {
        let commands = messages
            .iter()
            .map(|(room, key, seq)| {
                let key = self.key_of(partition_of(room.as_str()), room, key);
                let mut set = cmd("SET");
                set.arg(key).arg(seq).arg("EX").arg(REMEMBERED_SECONDS);
                Command::from(set)
            })
            .collect();
        let stored = self.redis.run_all::<()>(commands).await;
        let failed = stored.iter().filter(|result| result.is_err()).count();
        if failed > 0 {
            tracing::debug!(failed, "clientIds weren't remembered");
        }
        let mut pending = self.pending.lock();
        for (room, key, _) in messages {
            pending.remove(&(room, key));
        }
    }

    /// Rooms of these partitions in which `seq`s were reserved lately, each with the last one. Partitions that can't be
    /// asked are left out.
    pub async fn recent(&self, partitions: &[u16]) -> Vec<(RoomId, u64)> {
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
                Ok(active) => rooms.extend(active.chunks_exact(2).filter_map(|pair| match pair {
                    [room, seq] => Some((room.parse().ok()?, seq.parse().ok()?)),
                    _ => None,
                })),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            tracing::debug!(%error, "not all partitions say what was written lately");
        }
        rooms
    }

    fn key(&self, partition: u16, name: &str) -> String {
        format!("{{{}}}{}{name}", tag(partition), self.prefix)
    }

    fn counter(&self, partition: u16, room: &RoomId, epoch: &Epoch) -> String {
        self.key(partition, &format!("seq:{room}:{}", epoch.as_str()))
    }

    fn key_of(&self, partition: u16, room: &RoomId, key: &IdempotencyKey) -> String {
        let IdempotencyKey { sender, client_id } = key;
        self.key(partition, &format!("cid:{room}:{sender}:{client_id}"))
    }
}
