//! Writing to and reading from a room's log.

use protocol::{RoomKind, limits::PAGE_BYTES_MAX};
use storage::{Change, EventBody, MessageStore, NewEntry, StoreError};
use tokio::sync::mpsc;

use crate::{Fixture, assert_error, message, now, reactions, send, send_as};

on_each! {
    a_message_is_returned_whole,
    concurrent_appends_complete_in_order_without_gaps,
    one_client_id_of_one_sender_in_one_room_is_one_message,
    the_same_client_id_at_once_is_one_message,
    only_members_write,
    a_reply_answers_a_message_of_the_room,
    only_the_sender_edits,
    a_deletion_empties_the_message_and_keeps_its_place,
    a_moderator_deletes_what_others_wrote,
    reactions_are_counted_by_emoji_in_the_order_of_their_coming,
    an_emoji_is_one_in_every_spelling,
    a_message_takes_twenty_different_emoji,
    the_log_is_read_in_order_and_in_pages,
    a_page_of_the_log_ends_at_its_bytes,
    the_head_is_that_of_the_room,
    a_block_silences_a_direct_room,
    stored_texts_are_not_printed,
}

async fn a_page_of_the_log_ends_at_its_bytes(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    // Three fit, and a fourth doesn't.
    let long = "x".repeat(PAGE_BYTES_MAX / 3);
    for _ in 0..4 {
        fixture.send(&room, &ann, &long).await;
    }
    // Each edit carries the message; what else happens to it doesn't.
    for _ in 0..4 {
        fixture.edit(&room, &ann, 1, &long).await.unwrap();
        fixture.react(&room, &ann, 1, "👍", true).await.unwrap();
        fixture.react(&room, &ann, 1, "👍", false).await.unwrap();
    }
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = fixture.store.events(&room, after, u64::MAX, 100, None);
        let page = page.await.unwrap();
        let seqs = after + 1..=after + page.items.len() as u64;
        assert!(page.items.iter().map(|event| event.seq).eq(seqs));
        after += page.items.len() as u64;
        pages.push(after);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(pages, [3, 10, 16]);
}

async fn a_message_is_returned_whole(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    fixture.send(&room, &bob, "question").await;
    let before = now();
    let change = Change::Send {
        client_id: Some("c1".to_owned()),
        body: "answer".to_owned(),
        reply_to: Some(1),
        mentions: vec![bob.clone(), ann.clone()],
        attachments: Vec::new(),
    };
    let appended = fixture.append(&room, &ann, change).await.unwrap();
    assert!(appended.recorded);
    assert_eq!((appended.event.seq, &appended.event.room_id), (2, &room));
    let sent = message(appended);
    assert_eq!(
        (sent.seq, &sent.room_id, sent.body.as_str()),
        (2, &room, "answer")
    );
    assert_eq!(
        (&sent.sender.id, sent.sender.display_name.as_str()),
        (&ann, "Ann")
    );
    assert!(!sent.sender.guest);
    assert_eq!(
        (sent.client_id.as_deref(), sent.reply_to),
        (Some("c1"), Some(1))
    );
    assert_eq!(sent.mentions, [bob, ann.clone()]);
    assert!(sent.at >= before && sent.at <= now());
    assert_eq!((sent.edited_at, sent.deleted_at), (None, None));
    assert_eq!(
        fixture.store.message(&room, 2, Some(&ann)).await.unwrap(),
        sent
    );
}

async fn concurrent_appends_complete_in_order_without_gaps(fixture: Fixture) {
    const SENDERS: u64 = 50;
    const MESSAGES: u64 = 20;
    let mut users = Vec::new();
    for number in 0..SENDERS {
        users.push(fixture.user(&format!("user{number}")).await);
    }
    let members: Vec<_> = users.iter().collect();
    let rooms = [
        fixture.room(RoomKind::Public, &members).await,
        fixture.room(RoomKind::Public, &members).await,
    ];
    let (done, mut completions) = mpsc::unbounded_channel();
    let tasks: Vec<_> = users
        .into_iter()
        .map(|user| {
            let (store, rooms, done) = (fixture.store.clone(), rooms.clone(), done.clone());
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    let done = done.clone();
                    let entry = NewEntry {
                        room_id: rooms[(number % 2) as usize].clone(),
                        actor: user.clone(),
                        change: send_as(&number.to_string(), &format!("{number} of {user}")),
                    };
                    store.append(entry, move |result| {
                        done.send(result.unwrap().event).unwrap();
                    });
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(done);
    let mut completed = Vec::new();
    while let Some(event) = completions.recv().await {
        completed.push(event);
    }
    for room in &rooms {
        let mine: Vec<_> = completed
            .iter()
            .filter(|event| event.room_id == *room)
            .collect();
        let seqs: Vec<u64> = mine.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=SENDERS * MESSAGES / 2).collect::<Vec<_>>());
        assert_eq!(fixture.log(room).await.iter().collect::<Vec<_>>(), mine);
        let head = fixture.store.head(room).await.unwrap();
        assert_eq!(head.seq, SENDERS * MESSAGES / 2);
    }
    // Each sender's own order is kept, and times rise with the log.
    let mut last = std::collections::HashMap::new();
    let mut at = None;
    for event in completed.iter().filter(|event| event.room_id == rooms[0]) {
        let EventBody::Sent(message) = &event.body else {
            panic!("{event:?}")
        };
        let number: u64 = message.client_id.as_ref().unwrap().parse().unwrap();
        assert!(
            last.insert(message.sender.id.clone(), number)
                .is_none_or(|last| last < number)
        );
        assert!(at <= Some(message.at));
        at = Some(message.at);
    }
}

async fn one_client_id_of_one_sender_in_one_room_is_one_message(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let other = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let first = fixture
        .append(&room, &ann, send_as("x", "first"))
        .await
        .unwrap();
    let second = fixture
        .append(&room, &ann, send_as("x", "second"))
        .await
        .unwrap();
    assert!(first.recorded && !second.recorded);
    assert_eq!(first.event, second.event);
    // Another sender, another room, or none at all: other messages.
    assert!(
        fixture
            .append(&room, &bob, send_as("x", "of bob"))
            .await
            .unwrap()
            .recorded
    );
    assert!(
        fixture
            .append(&other, &ann, send_as("x", "elsewhere"))
            .await
            .unwrap()
            .recorded
    );
    assert!(
        fixture
            .append(&room, &ann, send("a"))
            .await
            .unwrap()
            .recorded
    );
    assert!(
        fixture
            .append(&room, &ann, send("a"))
            .await
            .unwrap()
            .recorded
    );
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 4);
    // In its present state, even deleted.
    fixture.edit(&room, &ann, 1, "edited").await.unwrap();
    let again = message(
        fixture
            .append(&room, &ann, send_as("x", "third"))
            .await
            .unwrap(),
    );
    assert_eq!((again.seq, again.body.as_str()), (1, "edited"));
    fixture.delete(&room, &ann, 1).await.unwrap();
    let again = fixture
        .append(&room, &ann, send_as("x", "fourth"))
        .await
        .unwrap();
    assert!(!again.recorded);
    assert_eq!((again.event.seq, message(again).body.as_str()), (1, ""));
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 6);
}

async fn the_same_client_id_at_once_is_one_message(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let tries =
        (0..50).map(|number| fixture.append(&room, &ann, send_as("x", &format!("try {number}"))));
    let results = futures_join(tries).await;
    let recorded = results
        .iter()
        .filter(|result| result.as_ref().unwrap().recorded)
        .count();
    assert_eq!(recorded, 1);
    assert_eq!(fixture.log(&room).await.len(), 1);
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    // Each is begun before the first is waited for.
    for future in &mut waiting {
        std::future::poll_fn(|context| {
            let _pending = future.as_mut().poll(context).is_pending();
            std::task::Poll::Ready(())
        })
        .await;
    }
    let mut outputs = Vec::new();
    for future in waiting {
        outputs.push(future.await);
    }
    outputs
}

async fn only_members_write(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let eve = fixture.user("eve").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    fixture.send(&room, &ann, "hello").await;
    for change in [
        send("hi"),
        Change::Edit {
            of: 1,
            body: "x".to_owned(),
        },
        Change::Delete {
            of: 1,
            moderator: true,
        },
        Change::React {
            of: 1,
            emoji: "👍".to_owned(),
            on: true,
        },
    ] {
        assert_error!(
            fixture.append(&room, &eve, change).await,
            StoreError::NotFound
        );
    }
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(
        fixture.append(&nowhere, &ann, send("hi")).await,
        StoreError::NotFound
    );
    let nobody = "nobody".parse().unwrap();
    assert_error!(
        fixture.append(&room, &nobody, send("hi")).await,
        StoreError::NotFound
    );
    // A kick and a send can't cross.
    fixture.store.remove_member(&room, &ann).await.unwrap();
    assert_error!(
        fixture.append(&room, &ann, send("hi")).await,
        StoreError::NotFound
    );
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 1);
}

async fn a_reply_answers_a_message_of_the_room(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let other = fixture.room(RoomKind::Public, &[&ann]).await;
    fixture.send(&room, &ann, "one").await;
    fixture.react(&room, &ann, 1, "👍", true).await.unwrap();
    for _ in 0..5 {
        fixture.send(&other, &ann, "elsewhere").await;
    }
    let reply = |seq| Change::Send {
        client_id: Some(format!("reply to {seq}")),
        body: "reply".to_owned(),
        reply_to: Some(seq),
        mentions: Vec::new(),
        attachments: Vec::new(),
    };
    // A change, the message itself, another room's, and beyond every log.
    for seq in [
        0,
        2,
        3,
        4,
        u64::from(u32::MAX),
        u64::from(u32::MAX) + 2,
        u64::MAX,
    ] {
        assert_error!(
            fixture.append(&room, &ann, reply(seq)).await,
            StoreError::Conflict {
                field: "replyTo",
                ..
            }
        );
    }
    assert_eq!(
        message(fixture.append(&room, &ann, reply(1)).await.unwrap()).reply_to,
        Some(1)
    );
    // A deleted message keeps its place.
    fixture.delete(&room, &ann, 1).await.unwrap();
    assert!(fixture.append(&room, &ann, send("x")).await.is_ok());
    assert!(
        !fixture
            .append(&room, &ann, reply(1))
            .await
            .unwrap()
            .recorded
    );
}

async fn only_the_sender_edits(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let sent = fixture.send(&room, &bob, "teh").await;
    assert_error!(
        fixture.edit(&room, &ann, 1, "the").await,
        StoreError::Forbidden
    );
    let appended = fixture.edit(&room, &bob, 1, "the").await.unwrap();
    assert!(appended.recorded);
    assert_eq!(appended.event.seq, 2);
    let edited = message(appended);
    assert_eq!(
        (edited.seq, edited.body.as_str(), &edited.id),
        (1, "the", &sent.id)
    );
    assert!(edited.edited_at.is_some() && edited.at == sent.at);
    for missing in [0, 2, 3, u64::MAX] {
        assert_error!(
            fixture.edit(&room, &bob, missing, "x").await,
            StoreError::NotFound
        );
    }
    fixture.delete(&room, &bob, 1).await.unwrap();
    assert_error!(
        fixture.edit(&room, &bob, 1, "x").await,
        StoreError::Conflict { field: "seq", .. }
    );
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 3);
}

async fn a_deletion_empties_the_message_and_keeps_its_place(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let change = Change::Send {
        client_id: None,
        body: "secret".to_owned(),
        reply_to: None,
        mentions: vec![ann.clone()],
        attachments: Vec::new(),
    };
    fixture.append(&room, &bob, change).await.unwrap();
    fixture.react(&room, &ann, 1, "👍", true).await.unwrap();
    assert_error!(fixture.delete(&room, &ann, 1).await, StoreError::Forbidden);
    let deleted = fixture.delete(&room, &bob, 1).await.unwrap();
    assert!(deleted.recorded);
    assert_eq!(
        (deleted.event.seq, &deleted.event.body),
        (3, &EventBody::Deleted { of: 1 })
    );
    let message = fixture.store.message(&room, 1, None).await.unwrap();
    assert_eq!((message.body.as_str(), message.mentions.len()), ("", 0));
    assert!(message.deleted_at.is_some() && message.reactions.is_empty());
    // Again it is the same deletion.
    fixture.send(&room, &ann, "later").await;
    let again = fixture.delete(&room, &bob, 1).await.unwrap();
    assert!(!again.recorded);
    assert_eq!(again.event, deleted.event);
    assert_error!(
        fixture.react(&room, &ann, 1, "👍", true).await,
        StoreError::Conflict { field: "seq", .. }
    );
    assert_error!(fixture.delete(&room, &bob, 9).await, StoreError::NotFound);
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 4);
}

async fn a_moderator_deletes_what_others_wrote(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &bob, "rude").await;
    let change = Change::Delete {
        of: 1,
        moderator: true,
    };
    let deleted = fixture.append(&room, &ann, change).await.unwrap();
    assert_eq!((deleted.recorded, deleted.event.seq), (true, 2));
}

async fn reactions_are_counted_by_emoji_in_the_order_of_their_coming(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &ann, "hello").await;
    let seq = async |actor, emoji, on| {
        let appended = fixture.react(&room, actor, 1, emoji, on).await.unwrap();
        (appended.event.seq, appended.recorded)
    };
    assert_eq!(seq(&ann, "🎉", false).await, (1, false));
    assert_eq!(seq(&ann, "🎉", true).await, (2, true));
    assert_eq!(seq(&bob, "👍", true).await, (3, true));
    assert_eq!(seq(&bob, "🎉", true).await, (4, true));
    assert_eq!(seq(&ann, "🎉", true).await, (2, false));
    let shown = async |viewer| reactions(&fixture.store.message(&room, 1, viewer).await.unwrap());
    assert_eq!(shown(Some(&ann)).await, "🎉2* 👍1");
    assert_eq!(shown(Some(&bob)).await, "🎉2* 👍1*");
    assert_eq!(shown(None).await, "🎉2 👍1");
    assert_eq!(seq(&ann, "🎉", false).await, (5, true));
    assert_eq!(seq(&ann, "🎉", false).await, (5, false));
    assert_eq!(shown(Some(&ann)).await, "🎉1 👍1");
    assert_eq!(seq(&bob, "🎉", false).await, (6, true));
    assert_eq!(shown(Some(&bob)).await, "👍1*");
    assert_eq!(seq(&ann, "🎉", true).await, (7, true));
    assert_eq!(shown(Some(&ann)).await, "👍1 🎉1*");
    assert_error!(
        fixture.react(&room, &ann, 2, "👍", true).await,
        StoreError::NotFound
    );
    let reacted = EventBody::Reacted {
        of: 1,
        emoji: "🎉".to_owned(),
        user_id: bob.clone(),
        on: false,
    };
    assert_eq!(fixture.log(&room).await[5].body, reacted);
}

async fn an_emoji_is_one_in_every_spelling(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &ann, "hello").await;
    let seq = async |actor, emoji, on| {
        let appended = fixture.react(&room, actor, 1, emoji, on).await.unwrap();
        (appended.event.seq, appended.recorded)
    };
    let shown = async || {
        let message = fixture.store.message(&room, 1, Some(&ann)).await.unwrap();
        reactions(&message)
    };
    assert_eq!(seq(&ann, "❤", true).await, (2, true));
    assert_eq!(seq(&bob, "❤\u{fe0f}", true).await, (3, true));
    assert_eq!(seq(&ann, "❤\u{fe0f}", true).await, (2, false));
    assert_eq!(shown().await, "❤\u{fe0f}2*");
    assert_eq!(seq(&ann, "❤\u{fe0f}", false).await, (4, true));
    assert_eq!(seq(&bob, "❤", false).await, (5, true));
    assert_eq!(shown().await, "");
    let told = fixture.log(&room).await.into_iter().skip(1);
    for event in told {
        match event.body {
            EventBody::Reacted { emoji, .. } => assert_eq!(emoji, "❤\u{fe0f}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn reactions_from_before_there_was_one_spelling_stay_and_can_be_taken_back() {
    let fixture = Fixture::embedded().await;
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &ann, "hello").await;
    fixture.react(&room, &ann, 1, "❤", true).await.unwrap();
    fixture.react(&room, &ann, 1, "word", true).await.unwrap();
    fixture.store.close().await;
    let path = fixture.directory().join("messages.db");
    let database = rusqlite::Connection::open(path).unwrap();
    for table in ["reactions", "reaction_counts", "changes"] {
        let old = format!("UPDATE {table} SET emoji = '❤' WHERE emoji = '❤\u{fe0f}'");
        assert_eq!(database.execute(&old, []).unwrap(), 1);
    }
    drop(database);
    let fixture = fixture.reopened().await;
    let shown = async || {
        let message = fixture.store.message(&room, 1, Some(&ann)).await.unwrap();
        reactions(&message)
    };
    let again = fixture.react(&room, &ann, 1, "❤", true).await.unwrap();
    assert_eq!((again.event.seq, again.recorded), (2, false));
    fixture.react(&room, &bob, 1, "❤", true).await.unwrap();
    assert_eq!(shown().await, "❤\u{fe0f}2* word1*");
    let first = fixture.log(&room).await.swap_remove(1).body;
    assert!(matches!(first, EventBody::Reacted { emoji, .. } if emoji == "❤\u{fe0f}"));
    for emoji in ["❤\u{fe0f}", "word"] {
        fixture.react(&room, &ann, 1, emoji, false).await.unwrap();
    }
    assert_eq!(shown().await, "❤\u{fe0f}1");
}

async fn a_message_takes_twenty_different_emoji(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&room, &ann, "hello").await;
    for number in 0..20 {
        fixture
            .react(&room, &ann, 1, &format!("e{number}"), true)
            .await
            .unwrap();
    }
    assert_error!(
        fixture.react(&room, &bob, 1, "one more", true).await,
        StoreError::Conflict { field: "emoji", .. }
    );
    // One that is there already is no new one.
    fixture.react(&room, &bob, 1, "e7", true).await.unwrap();
    fixture.react(&room, &ann, 1, "e0", false).await.unwrap();
    fixture
        .react(&room, &bob, 1, "one more", true)
        .await
        .unwrap();
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 1 + 20 + 3);
}

async fn the_log_is_read_in_order_and_in_pages(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    // The neighbours in the tables belong to other rooms.
    let other = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture.send(&other, &ann, "elsewhere").await;
    fixture.send(&room, &ann, "one").await;
    fixture.send(&room, &bob, "two").await;
    fixture.edit(&room, &ann, 1, "ONE").await.unwrap();
    fixture.react(&room, &bob, 1, "👍", true).await.unwrap();
    fixture.delete(&room, &bob, 2).await.unwrap();
    fixture.send(&room, &ann, "three").await;
    let describe = |body: &EventBody| match body {
        EventBody::Sent(message) => format!("sent {:?} {}", message.body, reactions(message)),
        EventBody::Edited { of, message } => format!("edited {of} {:?}", message.body),
        EventBody::Deleted { of } => format!("deleted {of}"),
        EventBody::Reacted {
            of,
            emoji,
            user_id,
            on,
        } => {
            assert_eq!(*user_id, bob);
            format!("reacted {of} {emoji} {on}")
        }
        EventBody::Processed { .. } | EventBody::Tombstone => "void".to_owned(),
    };
    let whole = [
        "sent \"ONE\" 👍1*",
        "sent \"\" ",
        "edited 1 \"ONE\"",
        "reacted 1 👍 true",
        "deleted 2",
        "sent \"three\" ",
    ];
    for (after, up_to, limit, wanted, has_more) in [
        (0, u64::MAX, 100, &whole[..], false),
        (0, 6, 6, &whole[..], false),
        (0, 6, 5, &whole[..5], true),
        (2, 6, 3, &whole[2..5], true),
        (2, 5, 3, &whole[2..5], false),
        (3, 4, 500, &whole[3..4], false),
        (6, u64::MAX, 10, &[], false),
        (u64::MAX, u64::MAX, 10, &[], false),
    ] {
        let page = fixture
            .store
            .events(&room, after, up_to, limit, Some(&bob))
            .await
            .unwrap();
        let read: Vec<String> = page
            .items
            .iter()
            .map(|event| describe(&event.body))
            .collect();
        assert_eq!(
            (read.as_slice(), page.has_more),
            (wanted.map_str().as_slice(), has_more)
        );
        for (index, event) in page.items.iter().enumerate() {
            assert_eq!(
                (event.seq, &event.room_id),
                (after + 1 + index as u64, &room)
            );
        }
    }
    let nowhere = "nowhere".parse().unwrap();
    let missing = fixture.store.events(&nowhere, 0, 1, 1, None).await;
    assert_error!(missing, StoreError::NotFound);
}

trait MapStr {
    fn map_str(&self) -> Vec<String>;
}

impl MapStr for [&str] {
    fn map_str(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

async fn the_head_is_that_of_the_room(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let rooms = [
        fixture.room(RoomKind::Public, &[&ann]).await,
        fixture.room(RoomKind::Public, &[&ann]).await,
        fixture.room(RoomKind::Public, &[&ann]).await,
    ];
    fixture.send(&rooms[0], &ann, "a").await;
    fixture.send(&rooms[2], &ann, "a").await;
    fixture.react(&rooms[2], &ann, 1, "👍", true).await.unwrap();
    let mut heads = Vec::new();
    let mut epochs = Vec::new();
    for room in &rooms {
        let head = fixture.store.head(room).await.unwrap();
        heads.push(head.seq);
        epochs.push(head.epoch);
    }
    assert_eq!(heads, [1, 0, 2]);
    assert!(epochs[0] != epochs[1] && !epochs[0].as_str().is_empty());
    let nowhere = "nowhere".parse().unwrap();
    assert_error!(fixture.store.head(&nowhere).await, StoreError::NotFound);
}

async fn a_block_silences_a_direct_room(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let direct = fixture
        .store
        .direct_room(&ann, &bob, now())
        .await
        .unwrap()
        .room
        .id;
    let public = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    fixture
        .append(&direct, &ann, send_as("x", "hello"))
        .await
        .unwrap();
    fixture.store.block(&bob, &ann, now()).await.unwrap();
    for actor in [&ann, &bob] {
        assert_error!(
            fixture.append(&direct, actor, send("hi")).await,
            StoreError::Forbidden
        );
        let reaction = fixture.react(&direct, actor, 1, "👍", true).await;
        assert_error!(reaction, StoreError::Forbidden);
    }
    assert_error!(
        fixture.edit(&direct, &ann, 1, "x").await,
        StoreError::Forbidden
    );
    let is_blocked_in = async |room| fixture.store.is_blocked_in(room).await.unwrap();
    assert!(is_blocked_in(&direct).await && !is_blocked_in(&public).await);
    for (one, other) in [(&ann, &bob), (&bob, &ann)] {
        let id = fixture.store.direct_room_id(one, other).await.unwrap();
        assert_eq!(id, Some(direct.clone()));
    }
    let eve = fixture.user("eve").await;
    let none = fixture.store.direct_room_id(&ann, &eve).await.unwrap();
    assert_eq!(none, None);
    assert_error!(
        fixture.delete(&direct, &ann, 1).await,
        StoreError::Forbidden
    );
    // What was sent is known; other rooms go on, where neither calls the other by name.
    assert!(
        !fixture
            .append(&direct, &ann, send_as("x", "hello"))
            .await
            .unwrap()
            .recorded
    );
    for (sender, other) in [(&ann, &bob), (&bob, &ann)] {
        let mentions = vec![eve.clone(), other.clone(), sender.clone()];
        let mentioning = Change::Send {
            client_id: None,
            body: "hi".to_owned(),
            reply_to: None,
            mentions,
            attachments: Vec::new(),
        };
        let sent = fixture.append(&public, sender, mentioning).await.unwrap();
        let EventBody::Sent(message) = sent.event.body else {
            panic!("not a message")
        };
        assert_eq!(message.mentions, [eve.clone(), sender.clone()]);
    }
    fixture.store.unblock(&bob, &ann).await.unwrap();
    fixture.send(&direct, &ann, "hi").await;
    fixture.delete(&direct, &ann, 1).await.unwrap();
    fixture.store.block(&ann, &bob, now()).await.unwrap();
    // It is deleted already, which nobody hears of again.
    assert!(!fixture.delete(&direct, &ann, 1).await.unwrap().recorded);
    assert!(is_blocked_in(&direct).await);
    fixture.store.unblock(&ann, &bob).await.unwrap();
    assert!(!is_blocked_in(&direct).await);
    let nowhere = "nowhere".parse().unwrap();
    assert!(!is_blocked_in(&nowhere).await);
}

#[test]
fn texts_are_not_printed() {
    let change = send("secret");
    let entry = NewEntry {
        room_id: "room".parse().unwrap(),
        actor: "ann".parse().unwrap(),
        change,
    };
    assert!(!format!("{entry:?}").contains("secret"));
    let edit = Change::Edit {
        of: 1,
        body: "secret".to_owned(),
    };
    assert!(!format!("{edit:?}").contains("secret"));
}

async fn stored_texts_are_not_printed(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let appended = fixture.append(&room, &ann, send("secret")).await.unwrap();
    assert!(!format!("{appended:?}").contains("secret"));
}

/// What the server keeps in every task must be cheap to share.
#[test]
fn the_store_is_shared_by_cloning() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<MessageStore>();
}
