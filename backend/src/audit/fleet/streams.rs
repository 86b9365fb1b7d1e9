//! The streams of Redis that carry batches from the instance that recorded them to one that stores them.
//!
//! A fixed number of streams, whose tags spread over a Cluster's masters. Every instance reads all of them as a consumer of one group.
//! An entry of a stream is a batch. It leaves its stream in the same step in which it is noted as stored, so whoever sent it can tell
//! apart what is stored, what waits, and what Redis has lost.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use redis_client::{Command, PARTITIONS, RedisClient, RedisError, Script, cmd, tag};
use uuid::Uuid;

/// How many streams there are. Keys are stored under them, so this may never change.
pub const STREAMS: u16 = 16;

/// Batches in one stream, at most; with 32 KiB each all streams have 128 MiB. What doesn't fit waits in the spool.
const STREAM_MAX: usize = 256;

/// Batches read from a stream at once.
const READ: usize = 8;

/// A batch that was given to a consumer so long ago, and isn't stored, is given to another one.
const CLAIM_AFTER_MS: usize = 15_000;

/// How long it is remembered that a batch is stored, for who sent it.
const REMEMBERED_SECONDS: usize = 3_600;

/// A consumer that did nothing for so long, and has nothing to do, is forgotten.
const FORGET_AFTER_MS: u64 = 3_600_000;

const GROUP: &str = "store";

static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
         return redis.call('XADD', KEYS[1], '*', 'id', ARGV[2], 'lines', ARGV[3])",
    )
});

/// For each batch: 1 if it is stored, 0 if it waits, -1 if Redis has lost it.
static CHECK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local fates = {}
         for i, entry in ipairs(ARGV) do
           if redis.call('DEL', KEYS[i + 1]) == 1 then fates[i] = 1
           elseif #redis.call('XRANGE', KEYS[1], entry, entry) == 1 then fates[i] = 0
           else fates[i] = -1 end
         end
         return fates",
    )
});

static STORED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for i = 3, #ARGV do
           redis.call('SET', KEYS[i - 1], '', 'EX', ARGV[2])
           redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
           redis.call('XDEL', KEYS[1], ARGV[i])
         end",
    )
});

/// The streams, as one consumer sees them.
pub struct Streams {
    redis: RedisClient,
    prefix: String,
    consumer: String,
    /// Where the next batch goes.
    turn: AtomicUsize,
}

/// A batch in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    stream: u16,
    /// Its id in the stream.
    id: String,
    /// The batch's own id.
    batch: Uuid,
}

impl Entry {
    /// The number of the stream, below [`STREAMS`].
    pub fn stream(&self) -> u16 {
        self.stream
    }

    /// One that stands for any in a stream.
    #[cfg(test)]
    pub fn in_stream(stream: u16) -> Self {
        Self {
            stream,
            id: String::new(),
            batch: Uuid::nil(),
        }
    }
}

/// A batch that is to be stored.
#[derive(Debug)]
pub struct Delivered {
    /// Where it is.
    pub entry: Entry,
    /// Its lines.
    pub lines: Vec<u8>,
}

/// What became of a batch that was to be added.
#[derive(Debug)]
pub enum Added {
    /// It is in a stream.
    At(Entry),
    /// The stream is full.
    Full,
    /// Redis couldn't be asked, or didn't answer.
    Failed(RedisError),
}

/// What became of a batch that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the database.
    Stored,
    /// It waits.
    Waiting,
    /// Redis has lost it.
    Lost,
}

/// The streams of which something was read, by their keys.
type StreamsRead = Option<Vec<(String, Vec<Answer>)>>;

/// An entry as Redis answers it.
type Answer = (String, Option<Vec<Vec<u8>>>);

impl Streams {
    /// As a consumer of this name, which no other process has.
    pub fn new(redis: RedisClient, prefix: &str, consumer: String) -> Self {
        Self {
            redis,
            prefix: prefix.to_owned(),
            consumer,
            turn: AtomicUsize::new(rand::random::<u16>().into()),
        }
    }

    fn key(&self, stream: u16, name: &str) -> String {
        let tag = tag(stream * (PARTITIONS / STREAMS));
        format!("{{{tag}}}{}:audit:{name}", self.prefix)
    }

    fn stream_key(&self, stream: u16) -> String {
        self.key(stream, "entries")
    }

    fn stored_key(&self, entry: &Entry) -> String {
        self.key(entry.stream, &format!("stored:{}", entry.batch.simple()))
    }

    /// The stream's key, and then those that remember what of it is stored.
    fn keys(&self, stream: u16, entries: &[&Entry]) -> Vec<String> {
        let stored = entries.iter().map(|entry| self.stored_key(entry));
        [self.stream_key(stream)]
            .into_iter()
            .chain(stored)
            .collect()
    }

    /// Adds batches, all at once.
    pub async fn add(&self, batches: &[(Uuid, &[u8])]) -> Vec<Added> {
        let mut streams = Vec::with_capacity(batches.len());
        let commands = batches.iter().map(|(id, lines)| {
            let stream = (self.turn.fetch_add(1, Relaxed) % usize::from(STREAMS)) as u16;
            streams.push(stream);
            let keys = [self.stream_key(stream)];
            ADD.call(&keys, (STREAM_MAX, id.simple().to_string(), *lines))
        });
        let commands = commands.collect();
        let answers: Vec<Result<Option<String>, _>> = self.redis.run_all(commands).await;
        let added = answers.into_iter().zip(streams).zip(batches);
        added
            .map(|((answer, stream), (batch, _))| match answer {
                Ok(Some(id)) => Added::At(Entry {
                    stream,
                    id,
                    batch: *batch,
                }),
                Ok(None) => Added::Full,
                Err(error) => Added::Failed(error),
            })
            .collect()
    }

    /// What became of batches, in the order given; `None` where Redis doesn't say.
    pub async fn fates(&self, entries: &[&Entry]) -> Vec<Option<Fate>> {
        let by_stream = by_stream(entries);
        let commands = by_stream.iter().map(|(stream, indices)| {
            let entries: Vec<_> = indices.iter().map(|index| entries[*index]).collect();
            let ids: Vec<_> = entries.iter().map(|entry| &entry.id).collect();
            CHECK.call(&self.keys(*stream, &entries), ids)
        });
        let answers: Vec<Result<Vec<i64>, _>> = self.redis.run_all(commands.collect()).await;
        let mut fates = vec![None; entries.len()];
        for ((_, indices), answer) in by_stream.iter().zip(answers) {
            let Ok(answer) = answer else { continue };
            for (index, fate) in indices.iter().zip(answer) {
                fates[*index] = Some(match fate {
                    1 => Fate::Stored,
                    0 => Fate::Waiting,
                    _ => Fate::Lost,
                });
            }
        }
        fates
    }

    /// The next batches of each stream.
    pub async fn read(&self) -> Vec<Delivered> {
        let commands = (0..STREAMS).map(|stream| {
            let mut command = cmd("XREADGROUP");
            command.arg("GROUP").arg(GROUP).arg(&self.consumer);
            command.arg("COUNT").arg(READ).arg("STREAMS");
            command.arg(self.stream_key(stream)).arg(">");
            Command::from(command)
        });
        let answers = self.redis.run_all(commands.collect()).await;
        let mut delivered = Vec::new();
        let mut without_group = Vec::new();
        for (stream, answer) in (0..STREAMS).zip(answers) {
            let answer: Result<StreamsRead, RedisError> = answer;
            match answer {
                Ok(read) => {
                    let entries = read.into_iter().flatten().flat_map(|(_, entries)| entries);
                    delivered.extend(entries.filter_map(|entry| self.delivered(stream, entry)));
                }
                Err(RedisError::Refused { code, .. }) if code == "NOGROUP" => {
                    without_group.push(stream);
                }
                Err(_) => {}
            }
        }
        self.make_groups(without_group).await;
        delivered
    }

    async fn make_groups(&self, streams: Vec<u16>) {
        let commands = streams.into_iter().map(|stream| {
            let mut command = cmd("XGROUP");
            command.arg("CREATE").arg(self.stream_key(stream));
            command.arg(GROUP).arg(0).arg("MKSTREAM");
            Command::from(command)
        });
        // Another instance may have made it meanwhile.
        let _: Vec<Result<String, _>> = self.redis.run_all(commands.collect()).await;
    }

    /// Batches that were given to some consumer long ago and aren't stored.
    pub async fn claim(&self) -> Vec<Delivered> {
        let commands = (0..STREAMS).map(|stream| {
            let mut command = cmd("XAUTOCLAIM");
            command.arg(self.stream_key(stream)).arg(GROUP);
            command.arg(&self.consumer).arg(CLAIM_AFTER_MS).arg("0-0");
            command.arg("COUNT").arg(READ);
            Command::from(command)
        });
        let answers = self.redis.run_all(commands.collect()).await;
        let mut delivered = Vec::new();
        for (stream, answer) in (0..STREAMS).zip(answers) {
            let answer: Result<(String, Vec<Answer>, Vec<String>), RedisError> = answer;
            if let Ok((_, entries, _)) = answer {
                let entries = entries.into_iter();
                delivered.extend(entries.filter_map(|entry| self.delivered(stream, entry)));
            }
        }
        delivered
    }

    fn delivered(&self, stream: u16, (id, fields): Answer) -> Option<Delivered> {
        let fields = fields.unwrap_or_default();
        let mut fields = fields.into_iter();
        let (_, batch, _, lines) = (
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next().unwrap_or_default(),
        );
        let batch = batch
            .as_deref()
            .and_then(|id| Uuid::try_parse_ascii(id).ok());
        Some(Delivered {
            entry: Entry {
                stream,
                id,
                // What nobody can have sent is taken out all the same.
                batch: batch.unwrap_or_default(),
            },
            lines,
        })
    }

    /// Takes batches out that are stored. Where that fails they are given to a consumer again later.
    pub async fn stored(&self, entries: &[&Entry]) {
        let by_stream = by_stream(entries);
        let commands = by_stream.iter().map(|(stream, indices)| {
            let entries: Vec<_> = indices.iter().map(|index| entries[*index]).collect();
            let ids: Vec<_> = entries.iter().map(|entry| &entry.id).collect();
            STORED.call(
                &self.keys(*stream, &entries),
                (GROUP, REMEMBERED_SECONDS, ids),
            )
        });
        let answers: Vec<Result<(), _>> = self.redis.run_all(commands.collect()).await;
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "stored batches of the audit log couldn't be taken out of their stream");
        }
    }

    /// Batches in all streams, and how many of them were given to a consumer.
    ///
    /// # Errors
    /// If Redis doesn't say.
    pub async fn lengths(&self) -> Result<(u64, u64), RedisError> {
        let commands = (0..STREAMS).flat_map(|stream| {
            let key = self.stream_key(stream);
            let pending = cmd("XPENDING").arg(&key).arg(GROUP).take();
            [cmd("XLEN").arg(&key).take(), pending]
        });
        let answers = self
            .redis
            .run_all(commands.map(Command::from).collect())
            .await;
        let (mut length, mut pending) = (0, 0);
        for (index, answer) in answers.into_iter().enumerate() {
            let answer: redis_client::Value = match answer {
                Ok(answer) => answer,
                // There is no stream yet.
                Err(RedisError::Refused { code, .. }) if code == "NOGROUP" => continue,
                Err(error) => return Err(error),
            };
            match answer {
                redis_client::Value::Int(count) if index % 2 == 0 => length += count as u64,
                redis_client::Value::Array(summary) => {
                    if let Some(redis_client::Value::Int(count)) = summary.first() {
                        pending += *count as u64;
                    }
                }
                _ => {}
            }
        }
        Ok((length, pending))
    }

    /// True for one instance at a time: whoever is first, for so long.
    ///
    /// # Errors
    /// If Redis doesn't say.
    pub async fn take_turn(&self, task: &str, seconds: usize) -> Result<bool, RedisError> {
        let mut command = cmd("SET");
        command.arg(self.key(0, task)).arg(&self.consumer);
        command.arg("NX").arg("EX").arg(seconds);
        let taken: Option<String> = self.redis.run(command).await?;
        Ok(taken.is_some())
    }

    /// Forgets consumers that ended long ago and have nothing left.
    ///
    /// # Errors
    /// If Redis fails.
    pub async fn forget_consumers(&self) -> Result<(), RedisError> {
        for stream in 0..STREAMS {
            let key = self.stream_key(stream);
            let ask = cmd("XINFO").arg("CONSUMERS").arg(&key).arg(GROUP).take();
            let consumers: Vec<std::collections::HashMap<String, redis_client::Value>> =
                self.redis.run(ask).await?;
            for consumer in consumers {
                let number = |name: &str| match consumer.get(name) {
                    Some(redis_client::Value::Int(number)) => *number as u64,
                    _ => 0,
                };
                if number("pending") > 0 || number("idle") < FORGET_AFTER_MS {
                    continue;
                }
                let name = match consumer.get("name") {
                    Some(redis_client::Value::BulkString(name)) => name.clone(),
                    _ => continue,
                };
                let mut forget = cmd("XGROUP");
                forget.arg("DELCONSUMER").arg(&key).arg(GROUP).arg(name);
                let _: i64 = self.redis.run(forget).await?;
            }
        }
        Ok(())
    }
}

/// The indices of entries, by their stream.
fn by_stream(entries: &[&Entry]) -> Vec<(u16, Vec<usize>)> {
    let mut found: Vec<_> = (0..STREAMS).map(|stream| (stream, Vec::new())).collect();
    for (index, entry) in entries.iter().enumerate() {
        found[usize::from(entry.stream)].1.push(index);
    }
    found.retain(|(_, indices)| !indices.is_empty());
    found
}
