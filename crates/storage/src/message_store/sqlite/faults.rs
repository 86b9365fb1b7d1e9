//! A room's log when the disk is full or the database locked: what was acked is in it, what wasn't
//! isn't, and there is no gap between.

use super::*;
use super::{Change, NewEntry, NewRoom, NewUser};
use protocol::{RoomId, RoomKind, Secret, Timestamp, UserId};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

struct Fixture {
    store: SqliteStore,
    directory: TempDir,
    room: RoomId,
    user: UserId,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().to_owned())
            .await
            .unwrap();
        let user = NewUser {
            username: "ann".to_owned(),
            display_name: "Ann".to_owned(),
            email: None,
            password_hash: Secret::from("hash"),
        };
        let user = store.create_user(user, Timestamp::now()).await.unwrap().id;
        let room = NewRoom {
            kind: RoomKind::Public,
            name: "Room".to_owned(),
            owner: user.clone(),
            members: Vec::new(),
        };
        let made = store.create_room(room, Timestamp::now()).await.unwrap();
        let room = made.room.id;
        Self {
            store,
            directory,
            room,
            user,
        }
    }

    /// Sends messages all at once and returns what became of each.
    async fn send(&self, names: std::ops::Range<u32>) -> Vec<Result<u64, StoreError>> {
        let (done, results) = mpsc::channel();
        for name in names {
            let done = done.clone();
            let entry = NewEntry {
                room_id: self.room.clone(),
                actor: self.user.clone(),
                change: Change::Send {
                    client_id: Some(name.to_string()),
                    body: format!("number {name} {}", "filler ".repeat(200)),
                    reply_to: None,
                    mentions: Vec::new(),
                    attachments: Vec::new(),
                },
            };
            self.store.append(entry, move |result| {
                done.send(result.map(|appended| appended.event.seq))
                    .unwrap();
            });
        }
        drop(done);
        tokio::task::spawn_blocking(move || results.iter().collect())
            .await
            .unwrap()
    }

    async fn limit_pages(&self, pages: u32) {
        let limit = move |transaction: &crate::sqlite::Transaction<'_>| {
            Ok(transaction.query_row(
                &format!("PRAGMA max_page_count = {pages}"),
                [],
                |_| Ok(()),
            )?)
        };
        self.store.database.write(limit).await.unwrap();
    }

    async fn pages(&self) -> u32 {
        self.store
            .database
            .read(|connection| Ok(connection.query_row("PRAGMA page_count", [], |row| row.get(0))?))
            .await
            .unwrap()
    }

    /// The log as it can be read.
    async fn seqs(&self) -> Vec<u64> {
        let page = self
            .store
            .events(&self.room, 0, u64::MAX, 100_000, None)
            .await
            .unwrap();
        page.items.iter().map(|event| event.seq).collect()
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_acked_message_and_leaves_no_gap() {
    let fixture = Fixture::new().await;
    fixture.limit_pages(fixture.pages().await + 40).await;
    let mut acked = 0;
    let mut refused = 0;
    for round in 0..10 {
        for result in fixture.send(round * 50..(round + 1) * 50).await {
            match result {
                Ok(seq) => {
                    acked += 1;
                    assert_eq!(seq, acked);
                }
                Err(StoreError::Unavailable(_)) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    assert!(acked > 0 && refused > 0, "{acked} acked, {refused} refused");
    assert_eq!(fixture.seqs().await, (1..=acked).collect::<Vec<_>>());
    fixture.limit_pages(u32::MAX - 1).await;
    let results = fixture.send(1000..1001).await;
    assert!(
        matches!(results[..], [Ok(seq)] if seq == acked + 1),
        "{results:?}"
    );
    let found = fixture
        .store
        .search(&fixture.room, "1000", None, 10, None)
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn a_locked_database_acks_nothing_and_recovers() {
    let fixture = Fixture::new().await;
    fixture.send(0..3).await;
    let other = rusqlite::Connection::open(fixture.directory.path().join("messages.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = std::time::Instant::now();
    let results = fixture.send(3..10).await;
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(results.len(), 7);
    for result in results {
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert!(matches!(
        fixture.store.ping().await,
        Err(StoreError::Unavailable(_))
    ));
    // Readers don't mind.
    assert_eq!(fixture.seqs().await, [1, 2, 3]);
    other.execute_batch("ROLLBACK").unwrap();
    fixture.store.ping().await.unwrap();
    let seqs: Vec<u64> = fixture
        .send(3..10)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(seqs, [4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_deleted_room_leaves_nothing_behind() {
    const COUNT: &str = "
        SELECT (SELECT count(*) FROM rooms) + (SELECT count(*) FROM members)
            + (SELECT count(*) FROM messages) + (SELECT count(*) FROM changes)
            + (SELECT count(*) FROM reactions) + (SELECT count(*) FROM reaction_counts)
            + (SELECT count(*) FROM messages_index WHERE messages_index MATCH '\"1_filler\"')
            + (SELECT count(*) FROM rooms_index WHERE rooms_index MATCH 'room')
            + (SELECT count(*) FROM room_name_pieces)";
    let fixture = Fixture::new().await;
    let count = async || -> i64 {
        fixture
            .store
            .database
            .read(|connection| Ok(connection.query_row(COUNT, [], |row| row.get(0))?))
            .await
            .unwrap()
    };
    // More than two steps of the purge take.
    fixture.send(0..1_200).await;
    for of in 1..=3 {
        let (done, durable) = tokio::sync::oneshot::channel();
        let entry = NewEntry {
            room_id: fixture.room.clone(),
            actor: fixture.user.clone(),
            change: Change::React {
                of,
                emoji: "👍".to_owned(),
                on: true,
            },
        };
        fixture
            .store
            .append(entry, |result| done.send(result).unwrap());
        durable.await.unwrap().unwrap();
    }
    assert_eq!(count().await, 1 + 1 + 1_200 + 3 + 3 + 3 + 1_200 + 1 + 2);
    fixture
        .store
        .delete_room(&fixture.room, &fixture.user, Timestamp::now())
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while count().await > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} rows are left",
            count().await
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
