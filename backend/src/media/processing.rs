//! The job that makes of an image what is shown of it.

use std::sync::Arc;

use bytes::Bytes;
use images::{
    Encoded, Processed, Refusal,
    exchange::{Done, Task},
};
use job_queue::{Job, JobError, JobId};
use protocol::{AttachmentFailure, AttachmentId, Timestamp, limits::IMAGE_MAX};
use serde::{Deserialize, Serialize};
use storage::{StoreError, StoredMedia, StoredUpload, StoredVariant, UploadStatus};

use super::{Media, SOON, after, announcement::announce, image_process::ProcessError, objects};

/// The run that believes the store when it says that there is no such object: about a minute after the first.
const RUNS_UNTIL_MISSING: u32 = 4;

/// An image is to be processed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessImage {
    upload: AttachmentId,
}

impl Job for ProcessImage {
    const KIND: &'static str = "image.process";

    fn id(&self) -> JobId {
        JobId::new(self.upload.as_str())
    }
}

impl ProcessImage {
    pub(super) fn of(upload: &AttachmentId) -> Self {
        Self {
            upload: upload.clone(),
        }
    }
}

/// Processes an image and tells its room. Run again at any point, it ends in the same state: objects are named after the upload, its
/// row changes once, and so does its message.
///
/// # Errors
/// If a store is away, or the image couldn't be decoded for a reason that isn't its own.
pub async fn process(media: &Arc<Media>, job: ProcessImage, run: u32) -> Result<(), JobError> {
    let id = &job.upload;
    let Some(upload) = media.uploads.get(id).await? else {
        return Ok(());
    };
    if upload.status != UploadStatus::Processing {
        return tell(media, &upload).await;
    }
    let outcome = match original(media, id).await? {
        Ok(file) => made(media, id, file).await?,
        // It was there when the upload was completed. A store that has just started may not know of it yet.
        Err(AttachmentFailure::Missing) if run < RUNS_UNTIL_MISSING => {
            return Err(JobError::temporary("what was uploaded isn't there"));
        }
        Err(reason) => Err(reason),
    };
    finish(media, id, outcome).await
}

/// What is left to do for an image that couldn't be processed however often it was tried.
///
/// # Errors
/// If a store is away.
pub async fn given_up(media: &Arc<Media>, job: ProcessImage) -> Result<(), JobError> {
    finish(media, &job.upload, Err(AttachmentFailure::TimedOut)).await
}

async fn original(
    media: &Media,
    id: &AttachmentId,
) -> Result<Result<Bytes, AttachmentFailure>, StoreError> {
    let most = usize::try_from(IMAGE_MAX).unwrap_or(usize::MAX);
    let Ok(key) = objects::incoming(id) else {
        return Ok(Err(AttachmentFailure::Missing));
    };
    match media.objects.read(&key, most).await {
        Ok(file) => Ok(Ok(file)),
        Err(StoreError::NotFound) => Ok(Err(AttachmentFailure::Missing)),
        Err(StoreError::Invalid { .. }) => Ok(Err(AttachmentFailure::TooLarge)),
        Err(error) => Err(error),
    }
}

/// Decodes an image and stores what is shown of it.
async fn made(
    media: &Media,
    id: &AttachmentId,
    file: Bytes,
) -> Result<Result<StoredMedia, AttachmentFailure>, JobError> {
    let processed = match media.images.run(Task::Process, file).await {
        Ok(Ok(Done::Processed(processed))) => processed,
        Ok(Ok(Done::Resized(_))) => {
            return Err(JobError::temporary("another answer than was asked for"));
        }
        Ok(Err(refusal)) => return Ok(Err(reason(refusal))),
        Err(ProcessError::Limit) => return Ok(Err(AttachmentFailure::TimedOut)),
        Err(error) => return Err(JobError::temporary(error)),
    };
    let Processed {
        full,
        animated,
        variants,
        placeholder,
    } = processed;
    let mut shown = StoredMedia {
        key: objects::public_key(id, &format!("full.{}", full.media_type.extension())),
        content_type: full.media_type.content_type().to_owned(),
        width: Some(full.width),
        height: Some(full.height),
        placeholder: Some(placeholder),
        animated,
        variants: Vec::new(),
    };
    put(media, &shown.key, full).await?;
    // Each is the copy of its box, whatever its own shape.
    for (index, variant) in variants.into_iter().enumerate() {
        let side = [200, 400, 800][(index / 2).min(2)];
        let key = objects::public_key(id, &format!("{side}.{}", variant.media_type.extension()));
        shown.variants.push(StoredVariant {
            key: key.clone(),
            content_type: variant.media_type.content_type().to_owned(),
            width: variant.width,
            height: variant.height,
        });
        put(media, &key, variant).await?;
    }
    Ok(Ok(shown))
}

async fn put(media: &Media, key: &str, encoded: Encoded) -> Result<(), JobError> {
    let key = objects::served(key).map_err(JobError::permanent)?;
    let content_type = encoded.media_type.content_type();
    let put = media
        .objects
        .put_bytes(&key, content_type, encoded.bytes.into());
    Ok(put.await?)
}

/// Notes what became of an image, removes what came in, and tells the room.
async fn finish(
    media: &Arc<Media>,
    id: &AttachmentId,
    outcome: Result<StoredMedia, AttachmentFailure>,
) -> Result<(), JobError> {
    let finished = media.uploads.finish(id, &outcome, after(SOON)).await?;
    let upload = match finished {
        Some(upload) => {
            match &outcome {
                Ok(_) => media.counts.count_processed(1),
                Err(_) => media.counts.count_failed(1),
            }
            upload
        }
        // It was removed meanwhile, or another run was faster.
        None => match media.uploads.get(id).await? {
            Some(upload) => upload,
            None => return Ok(media.remove_objects(id).await?),
        },
    };
    if upload.status == UploadStatus::Removed {
        return Ok(media
            .uploads
            .remove(std::slice::from_ref(id), Timestamp::now())
            .await?);
    }
    tell(media, &upload).await
}

/// Tells the room what became of an image, and removes what came in, which has metadata and is never served. Whichever run noted
/// what became of it may have ended before it did this.
async fn tell(media: &Arc<Media>, upload: &StoredUpload) -> Result<(), JobError> {
    announce(media, upload).await?;
    if let Ok(key) = objects::incoming(&upload.id) {
        media.objects.delete(&key).await?;
    }
    Ok(())
}

fn reason(refusal: Refusal) -> AttachmentFailure {
    match refusal {
        Refusal::NotAnImage => AttachmentFailure::NotAnImage,
        Refusal::Malformed => AttachmentFailure::Malformed,
        Refusal::TooLarge => AttachmentFailure::TooLarge,
    }
}
