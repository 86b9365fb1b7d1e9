//! Uploads, on each back end.

use protocol::{AttachmentFailure, AttachmentId, AttachmentKind, RoomId, Timestamp, UserId};
use storage::{
    AttachedTo, AttachmentState, NewUpload, Statement, StoreError, StoredMedia, StoredUpload,
    UploadQuota, UploadStatus, UploadStore,
};

use crate::{at, tables::Tables};

/// Uploads of one test alone.
struct Fixture {
    uploads: UploadStore,
    _tables: Tables,
}

impl Fixture {
    async fn embedded() -> Self {
        Self::of(Tables::embedded().await)
    }

    async fn postgres() -> Self {
        Self::of(Tables::postgres().await)
    }

    fn of(tables: Tables) -> Self {
        Self {
            uploads: UploadStore::new(tables.sql.clone()),
            _tables: tables,
        }
    }

    /// An upload of ann's whose object is there.
    async fn processing(&self, id: &str) {
        assert!(self.uploads.create(new(id, 10), QUOTA).await.unwrap());
        let completed = self.uploads.complete(&self::id(id), None, Vec::new()).await;
        assert_eq!(completed.unwrap().unwrap().status, UploadStatus::Processing);
    }

    async fn get(&self, id: &str) -> StoredUpload {
        self.uploads.get(&self::id(id)).await.unwrap().unwrap()
    }

    async fn due(&self, ms: i64) -> Vec<String> {
        let mut due: Vec<_> = self
            .uploads
            .take_due(at(ms))
            .await
            .unwrap()
            .iter()
            .map(|due| due.upload.id.to_string())
            .collect();
        due.sort_unstable();
        due
    }
}

stack::on_each!(
    [embedded, postgres],
    [
        an_upload_goes_its_way,
        nobody_has_more_than_the_quota,
        an_upload_is_attached_to_one_message,
        what_was_not_sent_is_free_again,
        what_is_due_is_one_instances,
        what_was_used_meanwhile_is_not_removed,
        an_upload_and_its_job_are_one_change,
        an_avatar_is_nothing_else,
    ]
);

const QUOTA: UploadQuota = UploadQuota {
    since: Timestamp::from_unix_ms(0),
    files: 100,
    bytes: 1_000,
};

fn id(id: &str) -> AttachmentId {
    AttachmentId::trusted(id)
}

fn ann() -> UserId {
    UserId::trusted("ann")
}

fn new(id: &str, size: u64) -> NewUpload {
    NewUpload {
        id: self::id(id),
        owner_id: ann(),
        kind: AttachmentKind::Image,
        file_name: "\"ü\".jpg".to_owned(),
        content_type: "image/jpeg".to_owned(),
        size,
        at: at(0),
        expires_at: at(1_000),
    }
}

fn to(room: &str, client_id: &str) -> AttachedTo {
    AttachedTo {
        room_id: RoomId::trusted(room),
        client_id: client_id.to_owned(),
        private: false,
        seq: None,
        at: at(40),
    }
}

fn media() -> StoredMedia {
    StoredMedia {
        key: "a-full.jpg".to_owned(),
        content_type: "image/jpeg".to_owned(),
        width: Some(10),
        height: Some(5),
        placeholder: None,
        animated: true,
        variants: Vec::new(),
    }
}

async fn an_upload_goes_its_way(fixture: Fixture) {
    let uploads = &fixture.uploads;
    assert_eq!(uploads.get(&id("a")).await.unwrap(), None);
    assert!(uploads.create(new("a", 10), QUOTA).await.unwrap());
    let awaited = fixture.get("a").await;
    assert_eq!(
        (awaited.status, &*awaited.file_name),
        (UploadStatus::Awaited, "\"ü\".jpg")
    );
    assert_eq!(awaited.attachment(), None);
    let finished = uploads
        .finish(&id("a"), &Ok(media()), at(50))
        .await
        .unwrap();
    assert_eq!(finished, None);
    uploads
        .complete(&id("a"), None, Vec::new())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        uploads.complete(&id("a"), None, Vec::new()).await.unwrap(),
        None
    );
    let place = to("r", "c1");
    let attached = uploads
        .attach(&[id("a")], &ann(), &place, at(50))
        .await
        .unwrap();
    let attachment = attached[0].attachment().unwrap();
    assert_eq!(attachment.state, AttachmentState::Processing);
    assert!(!attachment.private);
    let sent = uploads.sent(&[id("a")], &place, 7, at(60)).await.unwrap();
    assert_eq!(sent[0].attached_to.as_ref().unwrap().seq, Some(7));
    let finished = uploads
        .finish(&id("a"), &Ok(media()), at(70))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (finished.status, finished.announced),
        (UploadStatus::Ready, false)
    );
    assert_eq!(
        finished.attachment().unwrap().state,
        AttachmentState::Ready(media())
    );
    let again = uploads
        .finish(&id("a"), &Err(AttachmentFailure::Malformed), at(70))
        .await;
    assert_eq!(again.unwrap(), None);
    uploads.announced(&id("a"), at(80)).await.unwrap();
    assert!(fixture.get("a").await.announced);
    uploads.forget(&id("a")).await.unwrap();
    uploads.remove(&[id("a")], at(90)).await.unwrap();
    assert_eq!(fixture.get("a").await.attachment(), None);
    uploads.forget(&id("a")).await.unwrap();
    assert_eq!(uploads.get(&id("a")).await.unwrap(), None);
    fixture.processing("b").await;
    let failed = uploads
        .finish(&id("b"), &Err(AttachmentFailure::TooLarge), at(70))
        .await;
    assert_eq!(
        failed.unwrap().unwrap().reason,
        Some(AttachmentFailure::TooLarge)
    );
}

async fn nobody_has_more_than_the_quota(fixture: Fixture) {
    let uploads = &fixture.uploads;
    let quota = UploadQuota {
        files: 2,
        bytes: 100,
        ..QUOTA
    };
    assert!(!uploads.create(new("a", 101), quota).await.unwrap());
    assert!(uploads.create(new("a", 60), quota).await.unwrap());
    assert!(!uploads.create(new("b", 41), quota).await.unwrap());
    assert!(uploads.create(new("b", 40), quota).await.unwrap());
    assert!(!uploads.create(new("c", 0), quota).await.unwrap());
    assert_eq!(uploads.get(&id("c")).await.unwrap(), None);
    // Of others nothing counts, nor what was before.
    let bob = NewUpload {
        owner_id: UserId::trusted("bob"),
        ..new("c", 100)
    };
    assert!(uploads.create(bob, quota).await.unwrap());
    let later = UploadQuota {
        since: at(1),
        ..quota
    };
    assert!(uploads.create(new("d", 100), later).await.unwrap());
}

async fn an_upload_is_attached_to_one_message(fixture: Fixture) {
    let uploads = &fixture.uploads;
    for id in ["a", "b"] {
        fixture.processing(id).await;
    }
    assert!(uploads.create(new("awaited", 10), QUOTA).await.unwrap());
    let attach = async |ids: &[&str], owner: &str, to: &AttachedTo| {
        let ids: Vec<_> = ids.iter().map(|id| self::id(id)).collect();
        uploads
            .attach(&ids, &UserId::trusted(owner), to, at(50))
            .await
    };
    let refused = |result: Result<Vec<StoredUpload>, StoreError>, index: usize| match result {
        Err(StoreError::Conflict { message, .. }) => {
            assert!(message.contains(&format!("[{index}]")), "{message}");
        }
        other => panic!("{other:?}"),
    };
    refused(attach(&["a", "awaited"], "ann", &to("r", "c1")).await, 1);
    refused(attach(&["a", "nowhere"], "ann", &to("r", "c1")).await, 1);
    refused(attach(&["a"], "bob", &to("r", "c1")).await, 0);
    // Nothing of these happened.
    assert_eq!(fixture.get("a").await.attached_to, None);
    for _ in 0..2 {
        let attached = attach(&["b", "a"], "ann", &to("r", "c1")).await.unwrap();
        let ids: Vec<_> = attached.iter().map(|upload| upload.id.as_str()).collect();
        assert_eq!(ids, ["b", "a"]);
    }
    refused(attach(&["a"], "ann", &to("r", "c2")).await, 0);
    refused(attach(&["a"], "ann", &to("s", "c1")).await, 0);
}

async fn what_was_not_sent_is_free_again(fixture: Fixture) {
    let uploads = &fixture.uploads;
    for id in ["a", "b"] {
        fixture.processing(id).await;
        uploads
            .attach(&[self::id(id)], &ann(), &to("r", id), at(50))
            .await
            .unwrap();
    }
    uploads
        .sent(&[id("b")], &to("r", "b"), 3, at(60))
        .await
        .unwrap();
    for id in ["a", "b"] {
        uploads
            .detach(&[self::id(id)], &to("r", id), at(900))
            .await
            .unwrap();
    }
    assert_eq!(fixture.get("a").await.attached_to, None);
    assert_eq!(fixture.get("b").await.attached_to.unwrap().seq, Some(3));
    uploads
        .attach(&[id("a")], &ann(), &to("s", "c"), at(50))
        .await
        .unwrap();
}

async fn what_is_due_is_one_instances(fixture: Fixture) {
    let uploads = &fixture.uploads;
    for id in ["a", "b", "c"] {
        fixture.processing(id).await;
    }
    uploads
        .attach(&[id("a")], &ann(), &to("r", "a"), at(50))
        .await
        .unwrap();
    assert_eq!(fixture.due(49).await, [""; 0]);
    assert_eq!(fixture.due(50).await, ["a"]);
    assert_eq!(fixture.due(50).await, [""; 0]);
    // What nobody saw to is due again.
    assert_eq!(fixture.due(50 + 5 * 60_000).await, ["a", "b", "c"]);
    uploads.check_later(&id("b"), at(10_000_000)).await.unwrap();
    uploads.remove(&[id("c")], at(400_000)).await.unwrap();
    assert_eq!(fixture.due(400_000).await, ["c"]);
    assert_eq!(fixture.due(10_000_000).await, ["a", "b", "c"]);
}

async fn what_was_used_meanwhile_is_not_removed(fixture: Fixture) {
    let uploads = &fixture.uploads;
    for id in ["a", "b"] {
        fixture.processing(id).await;
    }
    let due = uploads.take_due(at(10_000_000)).await.unwrap();
    uploads
        .attach(&[id("a")], &ann(), &to("r", "a"), at(20_000_000))
        .await
        .unwrap();
    for due in &due {
        uploads.remove_due(due, at(10_000_001)).await.unwrap();
    }
    assert_eq!(due.len(), 2);
    assert_eq!(fixture.get("a").await.status, UploadStatus::Processing);
    assert_eq!(fixture.get("b").await.status, UploadStatus::Removed);
}

async fn an_upload_and_its_job_are_one_change(fixture: Fixture) {
    let uploads = &fixture.uploads;
    assert!(uploads.create(new("a", 10), QUOTA).await.unwrap());
    let impossible =
        || Statement::new("UPDATE uploads SET file_name = 'x' WHERE id = 'nowhere'").required();
    let completed = uploads.complete(&id("a"), None, vec![impossible()]).await;
    assert_eq!(completed.unwrap(), None);
    assert_eq!(fixture.get("a").await.status, UploadStatus::Awaited);
    let media = media();
    let completed = uploads
        .complete(&id("a"), Some(&media), Vec::new())
        .await
        .unwrap();
    assert_eq!(completed.unwrap().media, Some(media));
}

async fn an_avatar_is_nothing_else(fixture: Fixture) {
    let uploads = &fixture.uploads;
    let taken = async |id: &str, owner: &UserId| {
        let id = self::id(id);
        uploads.take_avatar(&id, owner, at(50)).await.unwrap()
    };
    fixture.processing("a").await;
    assert!(taken("a", &ann()).await.is_none(), "it isn't ready");
    let media = StoredMedia {
        key: "a-full.jpg".to_owned(),
        content_type: "image/jpeg".to_owned(),
        width: Some(1),
        height: Some(1),
        placeholder: None,
        animated: false,
        variants: Vec::new(),
    };
    let finish = async |id: &str| {
        let (id, outcome) = (self::id(id), Ok(media.clone()));
        let finished = uploads.finish(&id, &outcome, at(1_000)).await;
        finished.unwrap().unwrap()
    };
    finish("a").await;
    let bob = UserId::trusted("bob");
    assert!(taken("a", &bob).await.is_none(), "it is another's");
    let avatar = taken("a", &ann()).await.unwrap();
    assert!(avatar.avatar && avatar.media == Some(media.clone()));
    assert!(taken("a", &ann()).await.is_none(), "it is one already");
    let (ids, message) = ([id("a")], to("r", "c"));
    let attached = uploads.attach(&ids, &ann(), &message, at(60)).await;
    assert!(matches!(attached, Err(StoreError::Conflict { .. })));
    assert_eq!(fixture.due(50).await, ["a"]);

    fixture.processing("b").await;
    finish("b").await;
    let attached = uploads
        .attach(&[id("b")], &ann(), &message, at(5_000))
        .await;
    attached.unwrap();
    assert!(taken("b", &ann()).await.is_none(), "it is of a message");

    uploads.remove_avatars(&ann(), at(70)).await.unwrap();
    assert_eq!(fixture.get("a").await.status, UploadStatus::Removed);
    assert_eq!(fixture.get("b").await.status, UploadStatus::Ready);
    uploads.remove_avatars(&bob, at(70)).await.unwrap();
}
