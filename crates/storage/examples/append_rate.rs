//! How many durable messages a second the store takes, how long each waits, and what it costs.
//!
//! `cargo run --release -p storage --example append_rate [directory]`: first senders that wait for
//! one message before they send the next, then the same at a fixed rate. The database is made in
//! a directory of its own under the one given, by default that for temporary files; figures are
//! worth something only if that is on the disk that will be used.
//!
//! `… --example append_rate mongodb://… redis://…` does the same on a replica set, in a database of its own, and then as
//! two processes at once that write to the same rooms.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::{RoomId, RoomKind, Secret, Timestamp, UserId};
use redis_client::{Options, RedisClient};
use storage::{Change, MessageStore, MongoConfig, NewEntry, NewRoom, NewUser};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Of each process.
const SENDERS: u64 = 100;
const ROOMS: u64 = 10;
const PERIOD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["join", mongodb, redis, name] => join(mongodb, redis, name).await,
        [mongodb, redis] => on_replica_set(mongodb, redis).await,
        [directory] => embedded(PathBuf::from(directory)).await,
        _ => embedded(std::env::temp_dir()).await,
    }
}

async fn embedded(parent: PathBuf) -> Result<(), Failed> {
    let directory = tempfile::tempdir_in(parent)?;
    let store = MessageStore::open(directory.path()).await?;
    let senders = Senders::new(store.clone()).await?;
    measure_both(&senders).await?;
    store.close().await;
    Ok(())
}

async fn on_replica_set(mongodb: &str, redis: &str) -> Result<(), Failed> {
    let name = format!("append-rate-{}", uuid::Uuid::now_v7());
    let store = connect(mongodb, redis, &name).await?;
    store.migrate().await?;
    let senders = Senders::new(store.clone()).await?;
    println!("one process");
    measure_both(&senders).await?;
    println!("two processes, each");
    let mut other = tokio::process::Command::new(std::env::current_exe()?)
        .args(["join", mongodb, redis, &name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut heard = [0; 1];
    let mut said = other.stdout.take().ok_or("no output")?;
    tokio::io::AsyncReadExt::read_exact(&mut said, &mut heard).await?;
    drop(other.stdin.take());
    measure_both(&senders).await?;
    let mut rest = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut said, &mut rest).await?;
    print!("{rest}");
    other.wait().await?;
    store.close().await;
    let client = mongodb::Client::with_uri_str(mongodb).await?;
    client.database(&name).drop().await?;
    Ok(())
}

/// The second process: says when it is ready, and begins when nothing more can be heard.
async fn join(mongodb: &str, redis: &str, name: &str) -> Result<(), Failed> {
    let store = connect(mongodb, redis, name).await?;
    let senders = Senders::known(store.clone()).await?;
    println!();
    tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut Vec::new()).await?;
    measure_both(&senders).await?;
    store.close().await;
    Ok(())
}

async fn connect(mongodb: &str, redis: &str, name: &str) -> Result<MessageStore, Failed> {
    let (servers, options) = mongodb.split_once("/?").ok_or("expected mongodb://…/?…")?;
    let config = MongoConfig {
        uri: format!("{servers}/{name}?{options}").into(),
        redis: RedisClient::new(redis.parse()?, Options::new("append rate")),
        key_prefix: name.to_owned(),
    };
    Ok(MessageStore::connect(config).await?)
}

async fn measure_both(senders: &Arc<Senders>) -> Result<(), Failed> {
    let pace = Duration::from_millis(100);
    senders.clone().measure("as fast as they can", None).await?;
    senders.clone().measure("1,000 a second", Some(pace)).await
}

struct Senders {
    store: MessageStore,
    users: Vec<UserId>,
    rooms: Vec<RoomId>,
    sent: AtomicU64,
}

impl Senders {
    /// With users and rooms that it makes.
    async fn new(store: MessageStore) -> Result<Arc<Self>, Failed> {
        let now = Timestamp::now();
        let mut users = Vec::new();
        for number in 0..SENDERS {
            let user = NewUser {
                username: format!("sender{number}"),
                display_name: format!("Sender {number}"),
                email: None,
                password_hash: Secret::from("none"),
            };
            users.push(store.create_user(user, now).await?.id);
        }
        let mut rooms = Vec::new();
        for number in 0..ROOMS {
            let room = NewRoom {
                kind: RoomKind::Public,
                name: format!("Room {number}"),
                owner: users.first().ok_or("no users")?.clone(),
                members: users.clone(),
            };
            rooms.push(store.create_room(room, now).await?.room.id);
        }
        Ok(Self::of(store, users, rooms))
    }

    /// With those that another process made.
    async fn known(store: MessageStore) -> Result<Arc<Self>, Failed> {
        let mut users = Vec::new();
        for number in 0..SENDERS {
            let sender = store.credentials(&format!("sender{number}")).await?;
            users.push(sender.ok_or("no sender")?.user.id);
        }
        let first = users.first().ok_or("no users")?;
        let rooms = store.room_ids(first, None, 200).await?.items;
        Ok(Self::of(store, users, rooms))
    }

    fn of(store: MessageStore, users: Vec<UserId>, rooms: Vec<RoomId>) -> Arc<Self> {
        let sent = AtomicU64::new(0);
        Arc::new(Self {
            store,
            users,
            rooms,
            sent,
        })
    }

    /// All senders for one [`PERIOD`], each beginning a message every `pace`.
    async fn measure(self: Arc<Self>, name: &str, pace: Option<Duration>) -> Result<(), Failed> {
        let (began, cpu) = (Instant::now(), cpu_time()?);
        let tasks: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(self.clone().send(sender, pace)))
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.append(&mut task.await??);
        }
        waits.sort_unstable();
        let count = waits.len();
        let seconds = began.elapsed().as_secs_f64();
        let at = |quantile: f64| {
            let index = (count as f64 * quantile) as usize;
            waits
                .get(index.min(count.saturating_sub(1)))
                .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
        };
        println!(
            "{name}: {:.0} messages/s, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms, {:.1} µs of CPU each",
            count as f64 / seconds,
            at(0.5),
            at(0.99),
            at(1.0),
            (cpu_time()? - cpu).as_secs_f64() * 1e6 / count as f64,
        );
        Ok(())
    }

    async fn send(
        self: Arc<Self>,
        sender: u64,
        pace: Option<Duration>,
    ) -> Result<Vec<Duration>, Failed> {
        let end = Instant::now() + PERIOD;
        let mut waits = Vec::new();
        let mut next = Instant::now()
            + pace
                .unwrap_or_default()
                .mul_f64(sender as f64 / SENDERS as f64);
        while next.max(Instant::now()) < end {
            if let Some(pace) = pace {
                tokio::time::sleep_until(next.into()).await;
                next += pace;
            }
            let number = self.sent.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let (done, durable) = tokio::sync::oneshot::channel();
            self.store
                .append(self.message(sender, number)?, move |result| {
                    drop(done.send(result.map(|_| began.elapsed())));
                });
            waits.push(durable.await??);
        }
        Ok(waits)
    }

    fn message(&self, sender: u64, number: u64) -> Result<NewEntry, Failed> {
        let one_of = |count: usize, number: u64| (number % count as u64) as usize;
        Ok(NewEntry {
            room_id: self
                .rooms
                .get(one_of(self.rooms.len(), number))
                .ok_or("no room")?
                .clone(),
            actor: self
                .users
                .get(one_of(self.users.len(), sender))
                .ok_or("no user")?
                .clone(),
            change: Change::Send {
                client_id: Some(format!("{:08x}{number:024x}", std::process::id())),
                body: text(number),
                reply_to: None,
                mentions: Vec::new(),
                attachments: Vec::new(),
            },
        })
    }
}

/// Twelve words, some frequent and most rare, as in any language.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut words = Vec::with_capacity(12);
    for _ in 0..12 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state % 5_000;
        words.push(format!("w{:x}", word * word / 5_000));
    }
    words.join(" ")
}

/// Of this process so far.
fn cpu_time() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|index| fields.get(*index)?.parse::<u64>().ok())
        .sum();
    // The kernel counts in hundredths of a second.
    Ok(Duration::from_millis(ticks * 10))
}
