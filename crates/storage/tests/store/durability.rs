//! What survives: an orderly end, and one without any warning.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use protocol::{RoomId, RoomKind, UserId};
use storage::{EventBody, MessageStore, NewEntry, OpenError};

use crate::{Fixture, send_as};

on_each! {
    everything_is_there_after_reopening,
}

/// Where the child that is going to be killed finds the store, the room and the user.
const DIRECTORY: &str = "STORAGE_TEST_DIRECTORY";
const ROOM: &str = "STORAGE_TEST_ROOM";
const USER: &str = "STORAGE_TEST_USER";

async fn everything_is_there_after_reopening(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    fixture
        .append(&room, &ann, send_as("x", "one"))
        .await
        .unwrap();
    fixture.react(&room, &bob, 1, "👍", true).await.unwrap();
    fixture.edit(&room, &ann, 1, "ONE").await.unwrap();
    let log = fixture.log(&room).await;
    let seen = fixture.store.room(&room, Some(&bob)).await.unwrap();
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.log(&room).await, log);
    assert_eq!(fixture.store.room(&room, Some(&bob)).await.unwrap(), seen);
    let again = fixture
        .append(&room, &ann, send_as("x", "again"))
        .await
        .unwrap();
    assert_eq!((again.recorded, again.event.seq), (false, 1));
    assert_eq!(fixture.send(&room, &ann, "two").await.seq, 4);
}

#[tokio::test]
async fn a_store_that_is_dropped_gives_the_directory_up() {
    let fixture = Fixture::embedded().await;
    let ann = fixture.user("ann").await;
    let directory = fixture.directory().to_owned();
    let Fixture {
        store,
        location: _location,
    } = fixture;
    let second = MessageStore::open(&directory).await;
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(store);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let store = loop {
        match MessageStore::open(&directory).await {
            Ok(store) => break store,
            Err(OpenError::InUse(_)) => assert!(std::time::Instant::now() < deadline),
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    store.user(&ann).await.unwrap();
}

/// Not a test of its own: the child of the next one. Sends until it is killed and prints what was
/// acked.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs forever; the next test starts it"]
async fn sends_until_killed() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let store = MessageStore::open(PathBuf::from(variable(DIRECTORY)))
        .await
        .unwrap();
    let room: RoomId = variable(ROOM).parse().unwrap();
    let user: UserId = variable(USER).parse().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let (store, room, user) = (store.clone(), room.clone(), user.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let client_id = format!("{task}-{number}");
                    let (done, durable) = tokio::sync::oneshot::channel();
                    let entry = NewEntry {
                        room_id: room.clone(),
                        actor: user.clone(),
                        change: send_as(&client_id, "hello"),
                    };
                    store.append(entry, |result| done.send(result).unwrap());
                    let seq = durable.await.unwrap().unwrap().event.seq;
                    // One write, so that a kill leaves no half line behind.
                    let line = format!("acked {seq} {client_id}\n");
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

#[tokio::test]
async fn what_was_acked_survives_a_kill() {
    let mut fixture = Fixture::embedded().await;
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Private, &[&ann]).await;
    let mut acked: HashMap<String, u64> = HashMap::new();
    for round in 0..3 {
        fixture.store.close().await;
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "durability::sends_until_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env(DIRECTORY, fixture.directory())
                .env(ROOM, room.as_str())
                .env(USER, ann.as_str())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut new = 0;
        while let Some(Ok(line)) = lines.next() {
            // Those of an earlier round come again as duplicates.
            if let Some((seq, client_id)) = line
                .strip_prefix("acked ")
                .and_then(|rest| rest.split_once(' '))
            {
                let seq = seq.parse().unwrap();
                match acked.insert(client_id.to_owned(), seq) {
                    Some(before) => assert_eq!(before, seq),
                    None => new += 1,
                }
            }
            if new == 500 {
                child.0.kill().unwrap();
            }
        }
        drop(child);
        assert!(new >= 500, "round {round} ended after {new}");
        fixture = fixture.reopened().await;
        let mut stored = HashMap::new();
        for (index, event) in fixture.log(&room).await.iter().enumerate() {
            assert_eq!(event.seq, index as u64 + 1);
            let EventBody::Sent(message) = &event.body else {
                panic!("{event:?}")
            };
            let twice = stored.insert(message.client_id.clone().unwrap(), message.seq);
            assert_eq!(twice, None);
        }
        for (client_id, seq) in &acked {
            assert_eq!(stored.get(client_id), Some(seq), "{client_id}");
        }
    }
}
