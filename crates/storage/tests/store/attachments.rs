//! What is attached to messages, and what becomes of it.

use protocol::{AttachmentFailure, AttachmentId, AttachmentKind, RoomId, RoomKind, UserId};
use storage::{
    Appended, AttachmentState, Change, EventBody, StoreError, StoredAttachment, StoredMedia,
    StoredVariant,
};

use crate::{Fixture, assert_error, message, send};

on_each! {
    attachments_stay_with_their_message,
    what_was_processed_takes_the_next_place_in_the_log,
    what_became_of_an_attachment_is_recorded_once,
    who_has_left_still_has_their_images_processed,
    attachments_go_with_their_message,
    a_message_is_found_by_what_its_sender_called_it,
}

fn attached(id: &str, state: AttachmentState) -> StoredAttachment {
    StoredAttachment {
        id: AttachmentId::trusted(id),
        kind: AttachmentKind::Image,
        file_name: format!("{id} \"ü\".jpg"),
        size: 1 << 33,
        private: true,
        state,
        processed_seq: None,
    }
}

fn processing(id: &str) -> StoredAttachment {
    attached(id, AttachmentState::Processing)
}

fn ready(id: &str) -> StoredAttachment {
    attached(
        id,
        AttachmentState::Ready(StoredMedia {
            key: format!("media/{id}/full.jpg"),
            content_type: "image/jpeg".to_owned(),
            width: Some(1_000),
            height: Some(500),
            placeholder: Some("hash".to_owned()),
            animated: false,
            variants: vec![StoredVariant {
                key: format!("media/{id}/w200.webp"),
                content_type: "image/webp".to_owned(),
                width: 200,
                height: 100,
            }],
        }),
    )
}

fn at_seq(attachment: StoredAttachment, seq: u64) -> StoredAttachment {
    StoredAttachment {
        processed_seq: Some(seq),
        ..attachment
    }
}

fn with(body: &str, attachments: Vec<StoredAttachment>) -> Change {
    Change::Send {
        client_id: Some("c1".to_owned()),
        body: body.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
        attachments,
    }
}

async fn process(
    fixture: &Fixture,
    room: &RoomId,
    sender: &UserId,
    of: u64,
    attachment: StoredAttachment,
) -> Result<Appended, StoreError> {
    let attachment = Box::new(attachment);
    let change = Change::Process { of, attachment };
    fixture.append(room, sender, change).await
}

async fn attachments_stay_with_their_message(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Private, &[&ann]).await;
    let attachments = vec![ready("a"), processing("b")];
    let sent = fixture
        .append(&room, &ann, with("", attachments.clone()))
        .await
        .unwrap();
    assert_eq!(message(sent).attachments, attachments);
    // The same again is the same message, whatever is attached now.
    let again = fixture
        .append(&room, &ann, with("", Vec::new()))
        .await
        .unwrap();
    assert!(!again.recorded);
    assert_eq!(message(again).attachments, attachments);
    let edited = fixture.edit(&room, &ann, 1, "text").await.unwrap();
    assert_eq!(message(edited).attachments, attachments);
    fixture.react(&room, &ann, 1, "👍", true).await.unwrap();
    fixture.send(&room, &ann, "without").await;
    let fixture = fixture.reopened().await;
    let store = &fixture.store;
    let page = store.history(&room, None, None, 10, None).await.unwrap();
    let shown: Vec<_> = page.items.iter().map(|m| m.attachments.clone()).collect();
    assert_eq!(shown, [attachments.clone(), Vec::new()]);
    let found = store.search(&room, "text", None, 10, None).await.unwrap();
    assert_eq!(found.items[0].attachments, attachments);
    assert_eq!(
        store.message(&room, 1, None).await.unwrap().attachments,
        attachments
    );
    for event in fixture.log(&room).await.iter().take(2) {
        let (EventBody::Sent(shown) | EventBody::Edited { message: shown, .. }) = &event.body
        else {
            panic!("{event:?}")
        };
        assert_eq!(shown.attachments, attachments);
    }
}

async fn what_was_processed_takes_the_next_place_in_the_log(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let attachments = vec![processing("a"), processing("b")];
    let sent = fixture
        .append(&room, &ann, with("look", attachments))
        .await
        .unwrap();
    let id = message(sent).id;
    fixture.send(&room, &ann, "between").await;
    let processed = process(&fixture, &room, &ann, 1, ready("b")).await.unwrap();
    let body = EventBody::Processed {
        of: 1,
        message_id: id.clone(),
        attachment: at_seq(ready("b"), 3),
    };
    assert_eq!((processed.recorded, processed.event.seq), (true, 3));
    assert_eq!(processed.event.body, body);
    let failed = attached("a", AttachmentState::Failed(AttachmentFailure::NotAnImage));
    let told = process(&fixture, &room, &ann, 1, failed.clone())
        .await
        .unwrap();
    assert_eq!((told.recorded, told.event.seq), (true, 4));
    // In the middle of the log, at its end, and in the message as it is now.
    let fixture = fixture.reopened().await;
    let log = fixture.log(&room).await;
    assert_eq!(log.len(), 4);
    assert_eq!(log[2].body, body);
    assert_eq!(log[3], told.event);
    let now = vec![at_seq(failed, 4), at_seq(ready("b"), 3)];
    let EventBody::Sent(first) = &log[0].body else {
        panic!("{:?}", log[0])
    };
    assert_eq!(first.attachments, now);
    assert_eq!(
        fixture
            .store
            .message(&room, 1, None)
            .await
            .unwrap()
            .attachments,
        now
    );
    let page = fixture.store.events(&room, 2, 3, 10, None).await.unwrap();
    assert_eq!(page.items[0].body, body);
    assert_eq!(fixture.store.head(&room).await.unwrap().seq, 4);
    fixture.send(&room, &ann, "after").await;
    assert_eq!(fixture.log(&room).await.len(), 5);
}

async fn what_became_of_an_attachment_is_recorded_once(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let attachments = vec![processing("a"), ready("b")];
    fixture
        .append(&room, &ann, with("look", attachments))
        .await
        .unwrap();
    for recorded in [true, false, false] {
        let told = process(&fixture, &room, &ann, 1, ready("a")).await.unwrap();
        assert_eq!((told.recorded, told.event.seq), (recorded, 2));
        let EventBody::Processed { attachment, .. } = told.event.body else {
            panic!("another event")
        };
        assert_eq!(attachment, at_seq(ready("a"), 2));
    }
    assert_error!(
        process(&fixture, &room, &ann, 1, ready("b")).await,
        StoreError::Conflict { .. }
    );
    assert_error!(
        process(&fixture, &room, &ann, 1, ready("c")).await,
        StoreError::NotFound
    );
    assert_error!(
        process(&fixture, &room, &ann, 9, ready("a")).await,
        StoreError::NotFound
    );
    assert_eq!(fixture.log(&room).await.len(), 2);
}

async fn who_has_left_still_has_their_images_processed(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Private, &[&ann, &bob]).await;
    fixture
        .append(&room, &bob, with("look", vec![processing("a")]))
        .await
        .unwrap();
    fixture.store.remove_member(&room, &bob).await.unwrap();
    let told = process(&fixture, &room, &bob, 1, ready("a")).await.unwrap();
    assert!(told.recorded);
    assert_error!(
        fixture.append(&room, &bob, send("no")).await,
        StoreError::NotFound
    );
}

async fn attachments_go_with_their_message(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    let attachments = vec![processing("a"), processing("b")];
    fixture
        .append(&room, &ann, with("look", attachments))
        .await
        .unwrap();
    process(&fixture, &room, &ann, 1, ready("a")).await.unwrap();
    let deleted = fixture.delete(&room, &ann, 1).await.unwrap();
    let removed: Vec<_> = deleted.removed.iter().map(AttachmentId::as_str).collect();
    assert_eq!(removed, ["a", "b"]);
    assert_error!(
        process(&fixture, &room, &ann, 1, ready("b")).await,
        StoreError::Conflict { .. }
    );
    let shown = fixture.store.message(&room, 1, None).await.unwrap();
    assert_eq!(shown.attachments, []);
    // What the entry was about is gone, its place isn't.
    let log = fixture.log(&room).await;
    let bodies: Vec<_> = log.iter().map(|event| &event.body).collect();
    assert_eq!(
        bodies[1..],
        [&EventBody::Tombstone, &EventBody::Deleted { of: 1 }]
    );
    let again = fixture.delete(&room, &ann, 1).await.unwrap();
    assert_eq!((again.recorded, again.removed), (false, Vec::new()));
}

async fn a_message_is_found_by_what_its_sender_called_it(fixture: Fixture) {
    let ann = fixture.user("ann").await;
    let bob = fixture.user("bob").await;
    let room = fixture.room(RoomKind::Public, &[&ann, &bob]).await;
    let other = fixture.room(RoomKind::Public, &[&ann]).await;
    fixture
        .append(&room, &ann, with("look", vec![ready("a")]))
        .await
        .unwrap();
    let store = &fixture.store;
    let found = store
        .message_of_client(&room, &ann, "c1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.seq, found.attachments), (1, vec![ready("a")]));
    for (room, sender, client_id) in [
        (&room, &bob, "c1"),
        (&room, &ann, "c2"),
        (&other, &ann, "c1"),
    ] {
        assert_eq!(
            store
                .message_of_client(room, sender, client_id)
                .await
                .unwrap(),
            None
        );
    }
    let nowhere = RoomId::trusted("nowhere");
    assert_error!(
        store.message_of_client(&nowhere, &ann, "c1").await,
        StoreError::NotFound
    );
}
