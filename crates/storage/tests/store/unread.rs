//! Counting what somebody hasn't read, and noting what somebody has.

use protocol::{RoomId, RoomKind, RoomRole, UserId};
use storage::{Change, NewEntry, StoreError, UNREAD_MAX};

use crate::{Fixture, assert_error, now, send};

on_each! {
    only_messages_of_others_that_still_exist_are_unread,
    reading_goes_forward_and_never_past_the_head,
    who_joins_has_read_what_was_said_before,
    counting_stops,
    many_are_counted_at_once,
}

async fn unread(fixture: &Fixture, room: &RoomId, user: &UserId) -> u64 {
    let unread = fixture.store.unread(room, user).await.unwrap();
    // The other ways of asking say the same.
    let viewer = fixture
        .store
        .room(room, Some(user))
        .await
        .unwrap()
        .viewer
        .unwrap();
    assert_eq!(viewer.unread, unread);
    let mine = fixture.store.my_rooms(user, None, 100).await.unwrap();
    let mine = mine
        .items
        .into_iter()
        .find(|mine| mine.id == *room)
        .unwrap();
    assert_eq!(mine.viewer.unwrap(), viewer);
    unread
}

async fn only_messages_of_others_that_still_exist_are_unread(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    let other = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    fixture.send(&other, &ann, "elsewhere").await;
    assert_eq!(unread(&fixture, &room, &bob).await, 0);
    fixture.send(&room, &ann, "one").await;
    fixture.send(&room, &bob, "two").await;
    fixture.send(&room, &ann, "three").await;
    fixture.react(&room, &ann, 1, "👍", true).await.unwrap();
    fixture.edit(&room, &ann, 1, "ONE").await.unwrap();
    assert_eq!(unread(&fixture, &room, &bob).await, 2);
    assert_eq!(unread(&fixture, &room, &ann).await, 1);
    fixture.delete(&room, &ann, 3).await.unwrap();
    assert_eq!(unread(&fixture, &room, &bob).await, 1);
    assert_eq!(fixture.store.set_read(&room, &bob, 1).await.unwrap(), 1);
    assert_eq!(unread(&fixture, &room, &bob).await, 0);
    assert_eq!(unread(&fixture, &other, &bob).await, 1);
}

async fn reading_goes_forward_and_never_past_the_head(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let eve = fixture.user("eve").await;
    let room = fixture.room(RoomKind::Private, &[&ann]).await;
    for _ in 0..5 {
        fixture.send(&room, &ann, "hello").await;
    }
    for (seq, wanted) in [(3, 3), (2, 3), (3, 3), (0, 3), (99, 5), (u64::MAX, 5)] {
        assert_eq!(
            fixture.store.set_read(&room, &ann, seq).await.unwrap(),
            wanted
        );
    }
    let viewer = fixture
        .store
        .room(&room, Some(&ann))
        .await
        .unwrap()
        .viewer
        .unwrap();
    assert_eq!(viewer.read_seq, 5);
    assert_error!(
        fixture.store.set_read(&room, &eve, 1).await,
        StoreError::NotFound
    );
    assert_error!(
        fixture.store.unread(&room, &eve).await,
        StoreError::NotFound
    );
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(
        fixture.store.set_read(&nowhere, &ann, 1).await,
        StoreError::NotFound
    );
    assert_error!(
        fixture.store.unread(&nowhere, &ann).await,
        StoreError::NotFound
    );
}

async fn who_joins_has_read_what_was_said_before(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    fixture.send(&room, &ann, "before").await;
    fixture
        .store
        .add_member(&room, &bob, RoomRole::Member, now())
        .await
        .unwrap();
    assert_eq!(unread(&fixture, &room, &bob).await, 0);
    fixture.send(&room, &ann, "after").await;
    assert_eq!(unread(&fixture, &room, &bob).await, 1);
}

async fn counting_stops(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    for number in 0..UNREAD_MAX + 500 {
        let change = Change::Send {
            client_id: Some(number.to_string()),
            body: "hello".to_owned(),
            reply_to: None,
            mentions: Vec::new(),
            attachments: Vec::new(),
        };
        let entry = NewEntry {
            room_id: room.clone(),
            actor: ann.clone(),
            change,
        };
        fixture
            .store
            .append(entry, |result| assert!(result.is_ok()));
    }
    fixture.append(&room, &ann, send("last")).await.unwrap();
    assert_eq!(unread(&fixture, &room, &bob).await, UNREAD_MAX);
    fixture.store.set_read(&room, &bob, 502).await.unwrap();
    assert_eq!(unread(&fixture, &room, &bob).await, UNREAD_MAX - 1);
}

async fn many_are_counted_at_once(fixture: Fixture) {
    let mut users = Vec::new();
    for number in 0..10 {
        users.push(fixture.user(&format!("user{number}")).await);
    }
    let eve = fixture.user("eve").await;
    let room = fixture
        .room(RoomKind::Public, &users.iter().collect::<Vec<_>>())
        .await;
    for round in 0..5 {
        for (index, user) in users.iter().enumerate() {
            let seq = fixture.send(&room, user, "hello").await.seq;
            if round < index {
                fixture
                    .store
                    .set_read(&room, &users[index], seq - index as u64)
                    .await
                    .unwrap();
            }
        }
    }
    fixture.delete(&room, &users[9], 50).await.unwrap();
    let mut asked = users.clone();
    asked.push(eve);
    asked.push("nobody".parse().unwrap());
    let counted = fixture.store.unread_for(&room, &asked).await.unwrap();
    assert_eq!(counted.len(), users.len());
    let mut different = std::collections::HashSet::new();
    for (user, count) in counted {
        assert_eq!(count, unread(&fixture, &room, &user).await);
        different.insert(count);
    }
    assert!(different.len() > 4, "{different:?}");
    assert_eq!(fixture.store.unread_for(&room, &[]).await.unwrap(), []);
}
