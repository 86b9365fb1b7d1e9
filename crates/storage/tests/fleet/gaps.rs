//! Gaps: `seq`s that were reserved and not written. The room goes on behind them, and nobody stalls.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use protocol::{RoomId, UserId};
use stack::Stack;
use storage::{EventBody, MessageStore};

use crate::fixture::{Fixture, append, log, room, send, start, users};

use crate::patience::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_that_nobody_comes_to_write_is_filled() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let users = users(&stores[0], 1).await;
    let room = room(&stores[0], &users).await;
    append(&stores[0], &room, &users[0], send("1", "hello"))
        .await
        .unwrap();
    assert_eq!(fixture.abandon_seqs(&stores[0], &room, 3).await, 4);
    let behind = append(&stores[0], &room, &users[0], send("5", "hello"))
        .await
        .unwrap();
    assert_eq!(behind.event.seq, 5);
    // It is durable, but nobody sees it before what may come in front of it.
    assert_eq!(stores[1].head(&room).await.unwrap().seq, 1);
    assert_eq!(
        stores[1]
            .events(&room, 0, u64::MAX, 10, None)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        stores[1]
            .history(&room, None, None, 10, None)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert!(stores[1].message(&room, 5, None).await.is_err());
    assert!(
        stores[1]
            .search(&room, "hello", None, 10, None)
            .await
            .unwrap()
            .items
            .len()
            == 1
    );
    // Nobody writes any more: whoever saw the gap comes back to it.
    eventually("the head behind the gap", async || {
        stores[1]
            .head(&room)
            .await
            .ok()
            .filter(|head| head.seq == 5)
    })
    .await;
    let events = log(&stores[0], &room).await;
    let voids = events
        .iter()
        .filter(|event| event.body == EventBody::Tombstone);
    assert_eq!(voids.map(|event| event.seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(log(&stores[1], &room).await, events);
    assert_eq!(stores[1].unread(&room, &users[0]).await.unwrap(), 0);
    let filled = stores
        .iter()
        .map(|store| store.stats().fleet.unwrap().gaps_filled);
    assert!(filled.sum::<u64>() >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_comes_after_a_gap_was_filled_reserves_another_seq() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let stores = [fixture.store().await, fixture.store().await];
    let users = users(&stores[0], 2).await;
    let room = room(&stores[0], &users).await;
    fixture.abandon_seqs(&stores[0], &room, 0).await;
    append(&stores[0], &room, &users[0], send("1", "hello"))
        .await
        .unwrap();
    fixture.abandon_seqs(&stores[0], &room, 3).await;
    append(&stores[0], &room, &users[0], send("5", "hello"))
        .await
        .unwrap();
    eventually("the head behind the gap", async || {
        stores[0]
            .head(&room)
            .await
            .ok()
            .filter(|head| head.seq == 5)
    })
    .await;
    // The other is given the `seq`s that were filled meanwhile, all of them and one more.
    fixture.set_counter(&stores[0], &room, 1).await;
    let names = ["a", "b", "c", "d"];
    let sending = names.map(|name| start(&stores[1], &room, &users[1], send(name, "late")));
    for (number, sent) in sending.into_iter().enumerate() {
        let appended = sent.await.unwrap().unwrap();
        assert_eq!(
            (appended.event.seq, appended.recorded),
            (6 + number as u64, true)
        );
    }
    let change = storage::Change::React {
        of: 1,
        emoji: "👍".to_owned(),
        on: true,
    };
    fixture.set_counter(&stores[0], &room, 1).await;
    let fresh = fixture.store().await;
    let reacted = append(&fresh, &room, &users[1], change).await.unwrap();
    assert_eq!((reacted.event.seq, reacted.recorded), (10, true));
    assert_eq!(log(&stores[0], &room).await.len(), 10);
}

const ARGUMENTS: &str = "STORAGE_TEST_WRITER";

/// Not a test of its own: a process that writes until it is killed, and prints what was acked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs forever; the next test starts it"]
async fn writes_until_killed() {
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let [name, mongodb, redis, room, user] = arguments[..] else {
        panic!("{arguments:?}")
    };
    let store = Fixture::known(name, mongodb, redis).store().await;
    let (room, user): (RoomId, UserId) = (room.parse().unwrap(), user.parse().unwrap());
    let life = std::process::id();
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let (store, room, user) = (store.clone(), room.clone(), user.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{life}-{task}-{number}");
                    let Ok(sent) = append(&store, &room, &user, send(&name, "hello")).await else {
                        continue;
                    };
                    // One write, so that a kill leaves no half line behind.
                    let line = format!("acked {} {name}\n", sent.event.seq);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Killed {
    fn start(fixture: &Fixture, room: &RoomId, user: &UserId) -> Self {
        let [name, mongodb, redis] = fixture.addresses();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "gaps::writes_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(
                ARGUMENTS,
                [name, mongodb, redis, room.as_str(), user.as_str()].join(" "),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        stack::signal_process(self.0.id(), signal);
    }
}

/// What a writer printed: `seq`s and names.
fn acked(
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> impl Iterator<Item = (u64, String)> {
    lines.map_while(Result::ok).filter_map(|line| {
        let (seq, name) = line.strip_prefix("acked ")?.split_once(' ')?;
        Some((seq.parse().unwrap(), name.to_owned()))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_are_killed_and_stopped_with_writes_on_their_way() {
    let stack = Stack::to_break();
    let fixture = Fixture::new(&stack);
    let store = fixture.store().await;
    let users = users(&store, 2).await;
    let room = room(&store, &users).await;
    let mut told = Vec::new();
    for round in 0..3 {
        let mut writer = Killed::start(&fixture, &room, &users[0]);
        let mut lines = acked(BufReader::new(writer.0.stdout.take().unwrap()).lines());
        told.extend(lines.by_ref().take(100));
        // Stopped longer than a `seq` may be missing, with writes on their way; it comes back and goes on.
        writer.signal("STOP");
        go_on(&store, &room, &users[1], &format!("stopped {round}")).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        go_on(&store, &room, &users[1], &format!("filled {round}")).await;
        writer.signal("CONT");
        told.extend(lines.by_ref().take(100));
        writer.signal("KILL");
        told.extend(lines);
        go_on(&store, &room, &users[1], &format!("killed {round}")).await;
    }
    let events = log(&store, &room).await;
    let mut names = std::collections::HashSet::new();
    for event in &events {
        if let EventBody::Sent(message) = &event.body {
            assert!(
                names.insert(message.client_id.clone()),
                "{message:?} is there twice"
            );
        }
    }
    for (seq, name) in told {
        let EventBody::Sent(message) = &events[seq as usize - 1].body else {
            panic!("{name} isn't at {seq}")
        };
        assert_eq!(message.client_id.as_ref(), Some(&name));
    }
}

/// Another member's message is seen, whatever became of the writer.
async fn go_on(store: &MessageStore, room: &RoomId, user: &UserId, name: &str) {
    let seq = append(store, room, user, send(name, "hello"))
        .await
        .unwrap()
        .event
        .seq;
    eventually(name, async || {
        store.head(room).await.ok().filter(|head| head.seq >= seq)
    })
    .await;
}
