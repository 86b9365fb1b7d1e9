//! Messages in their present state, page by page.

use protocol::{RoomKind, limits::PAGE_BYTES_MAX};
use storage::StoreError;

use crate::{Fixture, assert_error, reactions};

on_each! {
    history_is_paged_both_ways,
    a_page_of_history_ends_at_its_bytes,
    a_sender_has_the_present_name,
}

async fn a_page_of_history_ends_at_its_bytes(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    // Three fit, and a fourth doesn't.
    let long = "x".repeat(PAGE_BYTES_MAX / 3);
    for _ in 0..7 {
        fixture.send(&room, &ann, &long).await;
    }
    for (before, after, wanted, has_more) in [
        (None, None, &[5, 6, 7][..], true),
        (Some(5), None, &[2, 3, 4], true),
        (Some(2), None, &[1], false),
        (None, Some(0), &[1, 2, 3], true),
        (None, Some(3), &[4, 5, 6], true),
        (None, Some(6), &[7], false),
    ] {
        let page = fixture.store.history(&room, before, after, 50, None);
        let page = page.await.unwrap();
        let seqs: Vec<u64> = page.items.iter().map(|message| message.seq).collect();
        assert_eq!((&seqs[..], page.has_more), (wanted, has_more));
    }
    // One that is larger than a page is a page.
    let larger = "x".repeat(PAGE_BYTES_MAX + 1);
    fixture.send(&room, &ann, &larger).await;
    for after in [None, Some(7)] {
        let page = fixture.store.history(&room, None, after, 50, None);
        let page = page.await.unwrap();
        assert_eq!((page.items.len(), page.items[0].seq), (1, 8));
        assert_eq!(page.has_more, after.is_none());
    }
}

async fn history_is_paged_both_ways(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let other = fixture.room(RoomKind::Public, &[&ann]).await;
    fixture.send(&other, &ann, "elsewhere").await;
    // Messages at 1, 3, 5, …, 19; a reaction behind each.
    for number in 0..10 {
        let seq = fixture.send(&room, &ann, &number.to_string()).await.seq;
        fixture.react(&room, &ann, seq, "👍", true).await.unwrap();
    }
    fixture.delete(&room, &ann, 5).await.unwrap();
    let max = u64::MAX;
    for (before, after, limit, wanted, has_more) in [
        (None, None, 3, &[15, 17, 19][..], true),
        (None, None, 10, &[1, 3, 5, 7, 9, 11, 13, 15, 17, 19], false),
        (Some(15), None, 2, &[11, 13], true),
        (Some(16), None, 2, &[13, 15], true),
        (Some(4), None, 2, &[1, 3], false),
        (Some(1), None, 2, &[], false),
        (Some(0), None, 2, &[], false),
        (Some(max), None, 1, &[19], true),
        (None, Some(0), 2, &[1, 3], true),
        (None, Some(3), 2, &[5, 7], true),
        (None, Some(15), 2, &[17, 19], false),
        (None, Some(19), 2, &[], false),
        (None, Some(max), 2, &[], false),
        (Some(9), Some(3), 2, &[5, 7], false),
        (Some(9), Some(1), 2, &[3, 5], true),
        (Some(3), Some(9), 2, &[], false),
    ] {
        let page = fixture
            .store
            .history(&room, before, after, limit, Some(&ann))
            .await
            .unwrap();
        let seqs: Vec<u64> = page.items.iter().map(|message| message.seq).collect();
        assert_eq!(
            (seqs.as_slice(), page.has_more),
            (wanted, has_more),
            "before {before:?} after {after:?} limit {limit}"
        );
        for message in &page.items {
            assert_eq!(message.room_id, room);
            if message.seq == 5 {
                assert_eq!(
                    (message.body.as_str(), reactions(message)),
                    ("", String::new())
                );
            } else {
                assert_eq!(message.body, (message.seq / 2).to_string());
                assert_eq!(reactions(message), "👍1*");
            }
        }
    }
    let nowhere = "nowhere".parse().unwrap();
    let missing = fixture.store.history(&nowhere, None, None, 1, None).await;
    assert_error!(missing, StoreError::NotFound);
    for seq in [0, 2, 21, max] {
        assert_error!(
            fixture.store.message(&room, seq, None).await,
            StoreError::NotFound
        );
    }
}

async fn a_sender_has_the_present_name(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let guest = fixture
        .store
        .create_guest("Guest".to_owned(), crate::now())
        .await
        .unwrap()
        .id;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob, &guest]).await;
    for user in [&ann, &bob, &guest] {
        fixture.send(&room, user, "hello").await;
    }
    let change = storage::ProfileChange {
        display_name: Some("Anna".to_owned()),
        ..storage::ProfileChange::default()
    };
    fixture.store.update_user(&ann, change).await.unwrap();
    fixture.store.delete_user(&bob, crate::now()).await.unwrap();
    let page = fixture
        .store
        .history(&room, None, None, 10, None)
        .await
        .unwrap();
    let senders: Vec<_> = page
        .items
        .iter()
        .map(|message| (message.sender.display_name.as_str(), message.sender.guest))
        .collect();
    assert_eq!(
        senders,
        [("Anna", false), ("deleted", false), ("Guest", true)]
    );
    assert_eq!(page.items[1].body, "hello");
}
