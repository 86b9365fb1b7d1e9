//! The audit log, on each back end.

use std::collections::BTreeSet;

use protocol::{AuditActorKind, AuditOutcome, Timestamp};
use stack::PostgresDatabase;
use storage::{AUDIT_COUNT_MAX, AuditEntry, AuditFilter, AuditStore, Postgres, StoreError};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{assert_error, at, tables::config};

/// A log for one test alone.
struct Fixture {
    store: AuditStore,
    place: Place,
}

enum Place {
    Directory(TempDir),
    Database(PostgresDatabase),
}

impl Fixture {
    async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = AuditStore::open(directory.path()).await.unwrap();
        let place = Place::Directory(directory);
        Self { store, place }
    }

    async fn postgres() -> Self {
        let database = PostgresDatabase::shared();
        Postgres::migrate(&config(&database)).await.unwrap();
        let postgres = Postgres::connect(config(&database)).unwrap();
        let store = AuditStore::postgres(postgres);
        let place = Place::Database(database);
        Self { store, place }
    }

    /// The same log as another program sees it, or this one later.
    async fn reopened(self) -> Self {
        self.store.close().await;
        let store = match &self.place {
            Place::Directory(directory) => AuditStore::open(directory.path()).await.unwrap(),
            Place::Database(database) => {
                AuditStore::postgres(Postgres::connect(config(database)).unwrap())
            }
        };
        Self { store, ..self }
    }

    async fn page(&self, filter: &AuditFilter) -> Vec<String> {
        let (entries, total) = self.store.page(filter, 1, 100).await.unwrap();
        assert_eq!(entries.len() as u64, total);
        actions(&entries)
    }
}

stack::on_each!(
    [embedded, postgres],
    [
        an_entry_is_there_once_however_often_it_is_given,
        everything_of_an_entry_is_kept,
        what_breaks_a_bound_is_refused_as_a_whole,
        filters_choose_by_each_of_their_fields,
        pages_are_newest_first_and_counted,
        what_is_counted_is_bounded,
        an_export_goes_through_all_in_order,
        the_oldest_are_removed_in_steps,
        several_write_the_same_at_once,
    ]
);

fn entry(action: &str, ms: i64) -> AuditEntry {
    AuditEntry {
        id: Uuid::now_v7().to_string(),
        at: at(ms),
        action: action.to_owned(),
        outcome: AuditOutcome::Succeeded,
        actor_id: None,
        actor_kind: AuditActorKind::System,
        session_id: None,
        address: None,
        target_kind: None,
        target_id: None,
        details: None,
        request_id: None,
        instance: "i1".to_owned(),
    }
}

fn full(action: &str, ms: i64) -> AuditEntry {
    AuditEntry {
        outcome: AuditOutcome::Refused,
        actor_id: Some("ann".parse().unwrap()),
        actor_kind: AuditActorKind::User,
        session_id: Some("s1".parse().unwrap()),
        address: Some("192.0.2.1".to_owned()),
        target_kind: Some("room".to_owned()),
        target_id: Some("r1".to_owned()),
        details: Some(r#"{"role":"модератор","was":null}"#.to_owned()),
        request_id: Some("q1".to_owned()),
        ..entry(action, ms)
    }
}

fn actions(entries: &[AuditEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.action.clone()).collect()
}

async fn an_entry_is_there_once_however_often_it_is_given(fixture: Fixture) {
    let entries: Vec<_> = (0..3).map(|ms| entry("room.ban", ms)).collect();
    assert_eq!(fixture.store.insert(&entries[..2]).await.unwrap(), 2);
    let mut changed = entries.clone();
    changed[0].action = "room.other".to_owned();
    changed.push(changed[2].clone());
    assert_eq!(fixture.store.insert(&changed).await.unwrap(), 1);
    assert_eq!(fixture.store.insert(&changed).await.unwrap(), 0);
    assert_eq!(fixture.store.insert(&[]).await.unwrap(), 0);
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.page(&AuditFilter::default()).await, ["room.ban"; 3]);
    fixture.store.ping().await.unwrap();
}

async fn everything_of_an_entry_is_kept(fixture: Fixture) {
    let mut entries = Vec::new();
    for (ms, outcome) in (0..).zip(AuditOutcome::ALL) {
        for actor_kind in AuditActorKind::ALL {
            entries.push(AuditEntry {
                outcome: *outcome,
                actor_kind: *actor_kind,
                ..full("member.kick", ms)
            });
        }
    }
    entries.push(entry("server.start", 3));
    entries.push(AuditEntry {
        at: Timestamp::from_unix_ms(0),
        ..entry("first", 0)
    });
    fixture.store.insert(&entries).await.unwrap();
    let mut kept = fixture
        .store
        .export(&AuditFilter::default(), None, 100)
        .await
        .unwrap();
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(kept, entries);
}

async fn what_breaks_a_bound_is_refused_as_a_whole(fixture: Fixture) {
    let good = full("room.ban", 0);
    let details = |details: &str| AuditEntry {
        details: Some(details.to_owned()),
        ..good.clone()
    };
    let long = format!(r#"{{"a":"{}"}}"#, "a".repeat(2_048));
    let wrong = [
        details("[]"),
        details("{"),
        details("{} {}"),
        details(&long),
        AuditEntry {
            id: "1".to_owned(),
            ..good.clone()
        },
        AuditEntry {
            id: good.id.to_uppercase(),
            ..good.clone()
        },
        AuditEntry {
            action: "a".repeat(257),
            ..good.clone()
        },
        AuditEntry {
            address: Some("192.0.2.1\0".to_owned()),
            ..good.clone()
        },
    ];
    for entry in wrong {
        let result = fixture.store.insert(&[good.clone(), entry.clone()]).await;
        assert_error!(result, StoreError::Invalid { .. });
    }
    assert!(fixture.page(&AuditFilter::default()).await.is_empty());
    fixture.store.insert(&[good]).await.unwrap();
}

async fn filters_choose_by_each_of_their_fields(fixture: Fixture) {
    let entries = [
        entry("session", 0),
        entry("session.sign_in", 10),
        full("session.sign_out", 20),
        entry("sessionx", 30),
        AuditEntry {
            outcome: AuditOutcome::Failed,
            target_kind: Some("user".to_owned()),
            target_id: Some("r1".to_owned()),
            ..entry("room.ban", 40)
        },
    ];
    fixture.store.insert(&entries).await.unwrap();
    let all = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases: [(AuditFilter, &[&str]); 14] = [
        (
            AuditFilter {
                from: Some(at(30)),
                ..all()
            },
            &["room.ban", "sessionx"],
        ),
        (
            AuditFilter {
                to: Some(at(10)),
                ..all()
            },
            &["session"],
        ),
        (
            AuditFilter {
                from: Some(at(10)),
                to: Some(at(11)),
                ..all()
            },
            &["session.sign_in"],
        ),
        (
            AuditFilter {
                action: text("session."),
                ..all()
            },
            &["session.sign_out", "session.sign_in"],
        ),
        (
            AuditFilter {
                action: text("session.sign_in"),
                ..all()
            },
            &["session.sign_in"],
        ),
        (
            AuditFilter {
                action: text("%"),
                ..all()
            },
            &[],
        ),
        (
            AuditFilter {
                action: text("\0"),
                ..all()
            },
            &[],
        ),
        (
            AuditFilter {
                actor_id: Some("ann".parse().unwrap()),
                ..all()
            },
            &["session.sign_out"],
        ),
        (
            AuditFilter {
                target_id: text("r1"),
                ..all()
            },
            &["room.ban", "session.sign_out"],
        ),
        (
            AuditFilter {
                target_kind: text("room"),
                target_id: text("r1"),
                ..all()
            },
            &["session.sign_out"],
        ),
        (
            AuditFilter {
                outcome: Some(AuditOutcome::Failed),
                ..all()
            },
            &["room.ban"],
        ),
        (
            AuditFilter {
                outcome: Some(AuditOutcome::Succeeded),
                from: Some(at(1)),
                ..all()
            },
            &["sessionx", "session.sign_in"],
        ),
        (
            AuditFilter {
                address: text("192.0.2.1"),
                ..all()
            },
            &["session.sign_out"],
        ),
        (
            AuditFilter {
                address: text("192.0.2.1"),
                to: Some(at(20)),
                ..all()
            },
            &[],
        ),
    ];
    for (filter, wanted) in cases {
        assert_eq!(fixture.page(&filter).await, wanted, "{filter:?}");
        let exported = fixture.store.export(&filter, None, 100).await.unwrap();
        let oldest_first: Vec<_> = wanted.iter().rev().copied().collect();
        assert_eq!(actions(&exported), oldest_first, "{filter:?}");
    }
}

async fn pages_are_newest_first_and_counted(fixture: Fixture) {
    let entries: Vec<_> = (0..25).map(|ms| entry(&format!("a{ms}"), ms)).collect();
    fixture.store.insert(&entries).await.unwrap();
    let mut read = Vec::new();
    for page in 1..=4 {
        let (entries, total) = fixture
            .store
            .page(&AuditFilter::default(), page, 10)
            .await
            .unwrap();
        assert_eq!(total, 25);
        read.extend(actions(&entries));
    }
    let wanted: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| entry.action.clone())
        .collect();
    assert_eq!(read, wanted);
}

async fn what_is_counted_is_bounded(fixture: Fixture) {
    let count = AUDIT_COUNT_MAX as i64 + 100;
    let entries: Vec<_> = (0..count).map(|ms| entry("room.ban", ms)).collect();
    assert_eq!(fixture.store.insert(&entries).await.unwrap(), count as u64);
    let all = AuditFilter::default();
    for (page, wanted) in [(1, 1_000), (10, 1_000), (11, 0), (u32::MAX, 0)] {
        let (entries, total) = fixture.store.page(&all, page, 1_000).await.unwrap();
        assert_eq!((entries.len(), total), (wanted, AUDIT_COUNT_MAX));
    }
    let (entries, _) = fixture.store.page(&all, 2, 6_000).await.unwrap();
    assert_eq!(entries.len(), 4_000);
}

async fn an_export_goes_through_all_in_order(fixture: Fixture) {
    // Several of one time, which are told apart by their ids.
    let entries: Vec<_> = (0..100)
        .map(|number| entry("room.ban", number / 7))
        .collect();
    fixture.store.insert(&entries).await.unwrap();
    let filter = AuditFilter {
        from: Some(at(1)),
        ..AuditFilter::default()
    };
    let (mut read, mut cursor) = (Vec::new(), None);
    loop {
        let part = fixture
            .store
            .export(&filter, cursor.as_ref(), 9)
            .await
            .unwrap();
        let Some(last) = part.last() else { break };
        cursor = Some(last.cursor());
        read.extend(part);
    }
    let mut wanted = entries[7..].to_vec();
    wanted.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    assert_eq!(read, wanted);
}

async fn the_oldest_are_removed_in_steps(fixture: Fixture) {
    let entries: Vec<_> = (0..10).map(|ms| entry(&format!("a{ms}"), ms)).collect();
    fixture.store.insert(&entries).await.unwrap();
    assert_eq!(fixture.store.delete_before(at(7), 4).await.unwrap(), 4);
    assert_eq!(
        fixture.page(&AuditFilter::default()).await.last().unwrap(),
        "a4"
    );
    assert_eq!(fixture.store.delete_before(at(7), 4).await.unwrap(), 3);
    assert_eq!(fixture.store.delete_before(at(7), 4).await.unwrap(), 0);
    assert_eq!(
        fixture.page(&AuditFilter::default()).await,
        ["a9", "a8", "a7"]
    );
}

async fn several_write_the_same_at_once(fixture: Fixture) {
    let entries: Vec<_> = (0..2_000).map(|ms| entry("room.ban", ms)).collect();
    let mut writing = Vec::new();
    for writer in 0..8 {
        let (store, mut entries) = (fixture.store.clone(), entries.clone());
        // Each in another order.
        entries.rotate_left(writer * 251);
        writing.push(tokio::spawn(async move {
            let new = store.insert(&entries).await;
            // Any thread may ask.
            let all = AuditFilter::default();
            store.page(&all, 1, 10).await.unwrap();
            store.export(&all, None, 10).await.unwrap();
            new
        }));
    }
    let mut new = 0;
    for written in writing {
        new += written.await.unwrap().unwrap();
    }
    assert_eq!(new, 2_000);
    let kept = fixture
        .store
        .export(&AuditFilter::default(), None, 10_000)
        .await
        .unwrap();
    let ids: BTreeSet<_> = kept.iter().map(|entry| &entry.id).collect();
    assert_eq!((kept.len(), ids.len()), (2_000, 2_000));
}
