//! Looks after uploads: each has a time at which somebody looks whether all is as it should be. So nothing that was begun depends on
//! the process that began it.

use std::{sync::Arc, time::Duration};

use protocol::Timestamp;
use storage::{AttachedTo, DueUpload, StoreError, StoredUpload, UploadStatus};

use super::{
    CHECK_MESSAGE, Media, SOON, UNATTACHED, UPLOADING, after,
    announcement::announce,
    attaching::{UNKNOWN, told_place},
    objects,
    processing::ProcessImage,
};
use crate::media_urls;

/// Between two looks for uploads that are due.
const EVERY: Duration = Duration::from_secs(5);

/// For how long a message may still be being stored, though nobody waits for it any more.
const STORING: Duration = Duration::from_secs(180);

/// How long a job may take until another is made; the queue itself loses none.
const JOB: Duration = Duration::from_secs(24 * 60 * 60);

pub async fn run(media: &Arc<Media>) {
    loop {
        tokio::time::sleep(EVERY).await;
        match media.uploads.take_due(Timestamp::now()).await {
            Ok(due) => {
                for due in due {
                    if let Err(error) = see_to(media, &due).await {
                        tracing::debug!(%error, upload = %due.upload.id, "an upload is seen to later");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "uploads can't be looked after"),
        }
    }
}

async fn see_to(media: &Arc<Media>, due: &DueUpload) -> Result<(), StoreError> {
    let upload = &due.upload;
    let id = &upload.id;
    if upload.status == UploadStatus::Removed {
        media.remove_objects(id).await?;
        // Until then it counts among those of its day.
        let counted = upload.created_at.plus(UNATTACHED);
        return match counted > Timestamp::now() {
            true => media.uploads.check_later(id, counted).await,
            false => {
                media.uploads.forget(id).await?;
                media.counts.count_removed(1);
                Ok(())
            }
        };
    }
    match &upload.attached_to {
        None if upload.avatar => check_avatar(media, due).await,
        // Nobody wanted it.
        None => remove(media, due).await,
        Some(to) => match to.seq {
            None => find_message(media, due, to).await,
            Some(seq) => check_message(media, due, to, seq).await,
        },
    }
}

/// It is an avatar for as long as its owner has it.
async fn check_avatar(media: &Arc<Media>, due: &DueUpload) -> Result<(), StoreError> {
    let upload = &due.upload;
    let shown = match media.store.user(&upload.owner_id).await {
        Ok(owner) => owner.avatar_url,
        Err(StoreError::NotFound) => None,
        Err(error) => return Err(error),
    };
    let shown = shown.as_deref().and_then(media_urls::avatar_upload);
    if shown.as_ref() != Some(&upload.id) {
        return remove(media, due).await;
    }
    remove_sent_again(media, upload).await?;
    let closed = upload.created_at.plus(UPLOADING);
    let next = match closed < Timestamp::now() {
        true => after(CHECK_MESSAGE),
        false => closed.plus(SOON),
    };
    media.uploads.check_later(&upload.id, next).await
}

/// Whoever had a URL for the bytes may have sent them again until it ended.
async fn remove_sent_again(media: &Media, upload: &StoredUpload) -> Result<(), StoreError> {
    match objects::incoming(&upload.id) {
        Ok(key) => media.objects.delete(&key).await,
        // Of an id that can't be a key there are none.
        Err(_) => Ok(()),
    }
}

async fn remove(media: &Media, due: &DueUpload) -> Result<(), StoreError> {
    media.uploads.remove_due(due, Timestamp::now()).await
}

/// Nobody heard whether the message was stored.
async fn find_message(
    media: &Arc<Media>,
    due: &DueUpload,
    to: &AttachedTo,
) -> Result<(), StoreError> {
    let upload = &due.upload;
    let id = std::slice::from_ref(&upload.id);
    let sender = &upload.owner_id;
    let found = media
        .store
        .message_of_client(&to.room_id, sender, &to.client_id);
    match found.await {
        Ok(Some(message)) => told_place(media, id, to, message.seq, id).await,
        Ok(None) if to.at.plus(STORING) > Timestamp::now() => {
            media.uploads.check_later(&upload.id, after(UNKNOWN)).await
        }
        Ok(None) => media.uploads.detach(id, to, after(UNATTACHED)).await,
        Err(StoreError::NotFound) => remove(media, due).await,
        Err(error) => Err(error),
    }
}

async fn check_message(
    media: &Arc<Media>,
    due: &DueUpload,
    to: &AttachedTo,
    seq: u64,
) -> Result<(), StoreError> {
    let upload = &due.upload;
    match media.store.message(&to.room_id, seq, None).await {
        Ok(message) => {
            let mut attachments = message.attachments.iter();
            if !attachments.any(|attachment| attachment.id == upload.id) {
                return remove(media, due).await;
            }
        }
        Err(StoreError::NotFound) => return remove(media, due).await,
        Err(error) => return Err(error),
    }
    match upload.status {
        UploadStatus::Processing => {
            if upload.created_at.plus(JOB) < Timestamp::now() {
                media.queue.enqueue(&ProcessImage::of(&upload.id)).await?;
            }
            media.uploads.check_later(&upload.id, after(JOB)).await
        }
        _ if upload.announced => {
            remove_sent_again(media, upload).await?;
            media
                .uploads
                .check_later(&upload.id, after(CHECK_MESSAGE))
                .await
        }
        _ => announce(media, upload).await,
    }
}
