//! Finding messages by their words.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::{RoomId, RoomKind, UserId};
use storage::StoreError;

use crate::{Fixture, assert_error, reactions};

const NOTHING: [u64; 0] = [];

async fn found(fixture: &Fixture, room: &RoomId, query: &str) -> Vec<u64> {
    let page = fixture.store.search(room, query, 100, None).await.unwrap();
    assert!(!page.has_more);
    page.items.iter().map(|message| message.seq).collect()
}

async fn fixture() -> (Fixture, RoomId, UserId) {
    let fixture = Fixture::new().await;
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    (fixture, room, ann)
}

#[tokio::test]
async fn every_word_must_be_there_and_the_last_may_be_a_beginning() {
    let (fixture, room, ann) = fixture().await;
    for body in [
        "The quick brown fox",
        "Brown bread, quickly!",
        "Crème brûlée",
        "год 2024",
        "東京 tower",
    ] {
        fixture.send(&room, &ann, body).await;
    }
    for (query, wanted) in [
        ("brown", &[2, 1][..]),
        ("BROWN", &[2, 1]),
        ("quick", &[2, 1]),
        ("quick brown", &[1]),
        ("brown quick", &[2, 1]),
        ("quickly", &[2]),
        ("uick", &[]),
        ("creme BRULEE", &[3]),
        ("brûl", &[3]),
        ("ГОД", &[4]),
        ("202", &[4]),
        ("東京", &[5]),
        ("fox bread", &[]),
        ("", &[]),
        ("  \n\t ", &[]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
    let nowhere = "nowhere".parse().unwrap();
    let missing = fixture.store.search(&nowhere, "brown", 10, None).await;
    assert_error!(missing, StoreError::NotFound);
}

#[tokio::test]
async fn nothing_in_a_query_is_syntax() {
    let (fixture, room, ann) = fixture().await;
    fixture
        .send(&room, &ann, "salt or pepper not NEAR body")
        .await;
    fixture
        .send(&room, &ann, "say \"hello-world\" (twice)")
        .await;
    for (query, wanted) in [
        ("salt OR nothing", &[][..]),
        ("pepper NOT near", &[1]),
        ("body:salt", &[]),
        ("NEAR(salt pepper)", &[]),
        ("near body", &[1]),
        ("^salt", &[1]),
        ("salt*", &[1]),
        ("hello-world", &[2]),
        ("\"hello", &[2]),
        ("(twice)", &[2]),
        ("say\" OR \"salt", &[]),
        ("'", &[]),
        ("\"", &[]),
        ("*", &[]),
        ("salt *", &[1]),
        ("\0", &[]),
        ("sa\0lt", &[]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
}

#[test]
fn any_query_is_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fixture, room, ann) = runtime.block_on(fixture());
    runtime.block_on(fixture.send(&room, &ann, "some words"));
    let queries = prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            proptest::sample::select(vec![
                "\"", "'", "*", "(", ")", "AND", "OR", "NOT", "NEAR", "+", "-", ":", "^", "{", "}",
                ",", " ", "\0", "\\", "some", "wor", "body", "é", "\u{300}", "東",
            ]),
            0..40
        )
        .prop_map(|parts| parts.concat()),
    ];
    let mut runner = TestRunner::new(Config {
        cases: 500,
        ..Config::default()
    });
    runner
        .run(&queries, |query| {
            let result = runtime.block_on(fixture.store.search(&room, &query, 10, None));
            prop_assert!(result.is_ok(), "{query:?}: {result:?}");
            let result = runtime.block_on(fixture.store.find_users(&query, None, 10));
            prop_assert!(result.is_ok(), "{query:?}: {result:?}");
            let result = runtime.block_on(fixture.store.public_rooms(Some(&query), None, 10, None));
            prop_assert!(result.is_ok(), "{query:?}: {result:?}");
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn what_is_found_is_the_present_text() {
    let (fixture, room, ann) = fixture().await;
    fixture.send(&room, &ann, "old words").await;
    fixture.send(&room, &ann, "other words").await;
    fixture.react(&room, &ann, 2, "👍", true).await.unwrap();
    fixture.edit(&room, &ann, 1, "new words").await.unwrap();
    assert_eq!(found(&fixture, &room, "old").await, NOTHING);
    assert_eq!(found(&fixture, &room, "new").await, [1]);
    fixture.delete(&room, &ann, 1).await.unwrap();
    assert_eq!(found(&fixture, &room, "new").await, NOTHING);
    assert_eq!(found(&fixture, &room, "words").await, [2]);
    let page = fixture
        .store
        .search(&room, "words", 10, Some(&ann))
        .await
        .unwrap();
    assert_eq!(reactions(&page.items[0]), "👍1*");
    // An edit in the same group as the message.
    let (edited, sent) = tokio::join!(
        async {
            let sent = fixture
                .append(&room, &ann, crate::send("draft"))
                .await
                .unwrap();
            fixture
                .edit(&room, &ann, sent.event.seq, "final")
                .await
                .unwrap()
        },
        fixture.send(&room, &ann, "meanwhile"),
    );
    assert_eq!(found(&fixture, &room, "draft").await, NOTHING);
    assert_eq!(
        found(&fixture, &room, "final").await,
        [crate::message(edited).seq]
    );
    assert_eq!(found(&fixture, &room, "meanwhile").await, [sent.seq]);
    let fixture = fixture.reopened().await;
    assert_eq!(found(&fixture, &room, "new").await, NOTHING);
    assert_eq!(found(&fixture, &room, "other").await, [2]);
}

#[tokio::test]
async fn a_search_is_of_one_room_and_bounded() {
    let (fixture, room, ann) = fixture().await;
    let other = fixture.room(RoomKind::Public, &[&ann]).await;
    for _ in 0..5 {
        fixture.send(&room, &ann, "here words").await;
        fixture.send(&other, &ann, "there words").await;
    }
    assert_eq!(found(&fixture, &room, "words").await, [5, 4, 3, 2, 1]);
    assert_eq!(found(&fixture, &room, "there").await, NOTHING);
    let page = fixture
        .store
        .search(&other, "words", 2, None)
        .await
        .unwrap();
    let seqs: Vec<u64> = page.items.iter().map(|message| message.seq).collect();
    assert_eq!((seqs.as_slice(), page.has_more), (&[5, 4][..], true));
    assert!(page.items.iter().all(|message| message.room_id == other));
}
