//! What searches of many connections cost others: how long a page of history takes meanwhile, and how long the
//! write-ahead log grows while somebody goes on writing.
//!
//! `cargo run --release -p storage --example search_load [directory]`: 40,000 messages in ten rooms, then 20 who search a
//! small room for the beginning of a word, one after the other each, while one reads history and one writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::{RoomId, RoomKind, Secret, Timestamp, UserId};
use storage::{Change, MessageStore, NewEntry, NewRoom, NewUser};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const ROOMS: usize = 10;
const MESSAGES: usize = 40_000;
const SEARCHERS: usize = 20;
const PERIOD: Duration = Duration::from_secs(10);

const WORDS: [&str; 12] = [
    "a", "about", "answer", "again", "all", "house", "river", "green", "letter", "walk", "north",
    "paper",
];

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let parent = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    let store = MessageStore::open(directory.path()).await?;
    let user = NewUser {
        username: "ann".to_owned(),
        display_name: "Ann".to_owned(),
        email: None,
        password_hash: Secret::from("hash"),
    };
    let ann = store.create_user(user, Timestamp::now()).await?.id;
    let mut rooms = Vec::new();
    for _ in 0..=ROOMS {
        let room = NewRoom {
            kind: RoomKind::Public,
            name: "Room".to_owned(),
            owner: ann.clone(),
            members: Vec::new(),
        };
        rooms.push(store.create_room(room, Timestamp::now()).await?.room.id);
    }
    let small = rooms.pop().ok_or("no room")?;
    for number in 0..100 {
        send(&store, &small, &ann, number).await?;
    }
    for start in (0..MESSAGES).step_by(500) {
        let sends =
            (start..start + 500).map(|number| send(&store, &rooms[number % ROOMS], &ann, number));
        futures_util::future::try_join_all(sends).await?;
    }
    println!(
        "history before: {}",
        shown(&mut history(&store, &small, &AtomicBool::new(false), 500).await?)
    );

    let stop = Arc::new(AtomicBool::new(false));
    let searched = Arc::new(AtomicU64::new(0));
    let mut others = Vec::new();
    for _ in 0..SEARCHERS {
        let (store, room, stop, searched) = (
            store.clone(),
            small.clone(),
            Arc::clone(&stop),
            Arc::clone(&searched),
        );
        others.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                store.search(&room, "a", None, 20, None).await?;
                searched.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failed>(())
        }));
    }
    {
        let (store, room, ann, stop) = (
            store.clone(),
            rooms[0].clone(),
            ann.clone(),
            Arc::clone(&stop),
        );
        others.push(tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let sends = (0..50).map(|next| send(&store, &room, &ann, number + next));
                futures_util::future::try_join_all(sends).await?;
                number += 50;
            }
            println!("messages written: {number}");
            Ok(())
        }));
    }
    let log = directory.path().join("messages.db-wal");
    let watched = Arc::clone(&stop);
    let longest = tokio::spawn(async move {
        let mut longest = 0;
        while !watched.load(Ordering::Relaxed) {
            longest = longest.max(std::fs::metadata(&log).map_or(0, |file| file.len()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        longest
    });
    let timer = Arc::clone(&stop);
    tokio::spawn(async move {
        tokio::time::sleep(PERIOD).await;
        timer.store(true, Ordering::Relaxed);
    });
    let mut meanwhile = history(&store, &small, &stop, usize::MAX).await?;
    for other in others {
        other.await??;
    }
    println!("history meanwhile: {}", shown(&mut meanwhile));
    println!("searches: {}", searched.load(Ordering::Relaxed));
    println!("longest write-ahead log: {} MB", longest.await? >> 20);
    store.close().await;
    Ok(())
}

async fn send(
    store: &MessageStore,
    room: &RoomId,
    user: &UserId,
    number: usize,
) -> Result<(), Failed> {
    let words = (0..12).map(|place| WORDS[(number * 7 + place * (number % 5 + 1)) % WORDS.len()]);
    let body = words.collect::<Vec<_>>().join(" ") + &format!(" number{number}");
    let (done, durable) = tokio::sync::oneshot::channel();
    let entry = NewEntry {
        room_id: room.clone(),
        actor: user.clone(),
        change: Change::Send {
            client_id: None,
            body,
            reply_to: None,
            mentions: Vec::new(),
            attachments: Vec::new(),
        },
    };
    store.append(entry, |result| drop(done.send(result.map(drop))));
    Ok(durable.await??)
}

async fn history(
    store: &MessageStore,
    room: &RoomId,
    stop: &AtomicBool,
    pages: usize,
) -> Result<Vec<Duration>, Failed> {
    let mut took = Vec::new();
    while took.len() < pages && !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        store.history(room, None, None, 50, None).await?;
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(took)
}

fn shown(took: &mut [Duration]) -> String {
    took.sort();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    format!(
        "median {:?}, 99 % {:?}, longest {:?} of {}",
        at(50),
        at(99),
        at(100),
        took.len()
    )
}
