//! Roll-ups and what is kept of rooms, on each back end of the tables.

use protocol::{Day, RoomId, UserId};
use storage::{CursorStore, PreferenceStore, RollupStore, StoredRollup};

use crate::tables::Tables as Fixture;

stack::on_each!(
    [embedded, postgres],
    [
        days_are_counted_once_however_often,
        days_without_anything_are_there,
        a_day_is_not_counted_anew_once_its_users_are_forgotten,
        what_is_kept_of_a_room_goes,
    ]
);

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn rollup(text: &str, messages: u64, active_users: u64) -> StoredRollup {
    StoredRollup {
        day: day(text),
        messages,
        active_users,
    }
}

async fn days_are_counted_once_however_often(fixture: Fixture) {
    let store = RollupStore::new(fixture.sql.clone());
    let (first, second) = (day("2026-01-31"), day("2026-02-01"));
    let today = second;
    fixture
        .write(vec![
            RollupStore::count_messages(first, 2),
            RollupStore::count_messages(first, 3),
            RollupStore::count_messages(second, 1),
        ])
        .await;
    let users = [user("ana"), user("bea"), user("ana")];
    store.note_all_active(first, &users, today).await.unwrap();
    store
        .note_all_active(second, &users[..1], today)
        .await
        .unwrap();
    let all = async || store.between(first, second).await.unwrap();
    for _ in 0..2 {
        store.close(today).await.unwrap();
        // The day that isn't over isn't counted yet.
        assert_eq!(all().await, [rollup("2026-01-31", 5, 2)]);
    }
    // What was late is counted the next time.
    store
        .note_all_active(first, &[user("eve")], today)
        .await
        .unwrap();
    for _ in 0..2 {
        store.close(second.plus(1)).await.unwrap();
        let expected = [rollup("2026-01-31", 5, 3), rollup("2026-02-01", 1, 1)];
        assert_eq!(all().await, expected);
    }
    assert_eq!(
        store.between(second, second).await.unwrap(),
        [rollup("2026-02-01", 1, 1)]
    );
}

async fn days_without_anything_are_there(fixture: Fixture) {
    let store = RollupStore::new(fixture.sql.clone());
    let first = day("2026-01-31");
    // Nobody knows of days before the first.
    store.close(first).await.unwrap();
    store
        .note_all_active(first, &[user("ana")], first)
        .await
        .unwrap();
    store.close(first.plus(4)).await.unwrap();
    let found = store.between(day("2025-01-01"), first.plus(3)).await;
    let expected = [
        rollup("2026-01-31", 0, 1),
        rollup("2026-02-01", 0, 0),
        rollup("2026-02-02", 0, 0),
        rollup("2026-02-03", 0, 0),
    ];
    assert_eq!(found.unwrap(), expected);
}

async fn a_day_is_not_counted_anew_once_its_users_are_forgotten(fixture: Fixture) {
    let store = RollupStore::new(fixture.sql.clone());
    let first = day("2026-01-31");
    let users = [user("ana"), user("bea")];
    store.note_all_active(first, &users, first).await.unwrap();
    // Nobody counted for weeks.
    let later = first.plus(30);
    store.close(later).await.unwrap();
    store.close(later.plus(1)).await.unwrap();
    assert!(RollupStore::note_active(first, &users[0], later).is_none());
    store.close(later.plus(2)).await.unwrap();
    let found = store.between(first, first).await.unwrap();
    assert_eq!(found, [rollup("2026-01-31", 0, 2)]);
}

async fn what_is_kept_of_a_room_goes(fixture: Fixture) {
    let preferences = PreferenceStore::new(fixture.sql.clone());
    let [kept, gone, read] = ["r1", "r2", "r3"].map(|id| id.parse::<RoomId>().unwrap());
    for (room, ana) in [(&kept, "ana"), (&gone, "ana"), (&gone, "bea")] {
        preferences
            .set_in_room(room, &user(ana), "all")
            .await
            .unwrap();
    }
    fixture
        .write(vec![
            CursorStore::note_room(&gone, 5),
            CursorStore::note_room(&read, 5),
        ])
        .await;
    let all = preferences.rooms("", 10).await.unwrap();
    assert_eq!(all, [kept.clone(), gone.clone(), read.clone()]);
    let behind = preferences.rooms("r1", 1).await.unwrap();
    assert_eq!(behind, std::slice::from_ref(&gone));
    preferences
        .forget_rooms(std::slice::from_ref(&gone))
        .await
        .unwrap();
    assert_eq!(
        preferences.rooms("", 10).await.unwrap(),
        [kept.clone(), read.clone()]
    );
    assert_eq!(
        preferences.in_room(&gone, &user("bea")).await.unwrap(),
        None
    );
    let cursors = CursorStore::new(fixture.sql.clone());
    assert_eq!(cursors.rooms("").await.unwrap(), [(read, 5)]);
}
