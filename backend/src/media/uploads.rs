//! Uploads: where the bytes of a file go, and what happens once they are there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use protocol::{
    AttachmentId, AttachmentKind, CreateUpload, ErrorCode, IMAGE_TYPES, Invalid, MediaQuery,
    Timestamp, Upload, UploadCreated, UploadState, UserId, limits::IMAGE_MAX,
};
use storage::{
    NewUpload, ObjectBody, StoreError, StoredMedia, StoredUpload, UploadQuota, UploadStatus,
};
use uuid::Uuid;

use super::{Media, UNATTACHED, UPLOADING, after, file_name, objects, processing::ProcessImage};
use crate::{auth::actor::Actor, error::AppError};

/// The time in which uploads count together.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const OCTETS: &str = "application/octet-stream";

/// Begins an upload of the actor's.
///
/// # Errors
/// `invalid` for one that is too large, `rate_limited` beyond what a user may upload in a day.
pub async fn create(
    media: &Media,
    actor: &Actor,
    request: CreateUpload,
) -> Result<UploadCreated, AppError> {
    let new = begin(media, actor, &request).await?;
    let signed = media
        .objects
        .presign_put(&key(&new.id)?, &new.content_type, new.size, UPLOADING);
    let (url, headers) = match signed {
        Some(signed) => (signed.url.to_string(), signed.headers),
        None => {
            let expires = after(UPLOADING).unix_ms() / 1_000;
            let url = media
                .urls
                .upload(&new.id, u64::try_from(expires).unwrap_or(0));
            let content_type = ("Content-Type".to_owned(), new.content_type.clone());
            (url, vec![content_type])
        }
    };
    Ok(UploadCreated {
        upload_id: new.id,
        method: "PUT".to_owned(),
        url,
        headers: headers.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

/// Notes an upload, within the bounds of its owner.
pub(super) async fn begin(
    media: &Media,
    actor: &Actor,
    request: &CreateUpload,
) -> Result<NewUpload, AppError> {
    let content_type = request.content_type.to_ascii_lowercase();
    let kind = match is_image(&content_type) {
        true => AttachmentKind::Image,
        false => AttachmentKind::File,
    };
    let most = match kind {
        AttachmentKind::Image => IMAGE_MAX.min(media.config.max_file),
        AttachmentKind::File => media.config.max_file,
    };
    if request.size > most {
        return Err(Invalid::new("size", format!("expected at most {most} bytes")).into());
    }
    let now = Timestamp::now();
    let new = NewUpload {
        // Keys of objects are in lower case, and so is this.
        id: AttachmentId::trusted(Uuid::now_v7().simple().to_string()),
        owner_id: actor.user_id.clone(),
        kind,
        file_name: file_name::cleaned(&request.file_name),
        content_type,
        size: request.size,
        at: now,
        expires_at: after(UNATTACHED),
    };
    let quota = UploadQuota {
        since: now.minus(DAY),
        files: media.config.daily_files,
        bytes: media.config.daily_bytes,
    };
    match media.uploads.create(new.clone(), quota).await? {
        true => Ok(new),
        false => {
            let message = "too much was uploaded within a day";
            Err(AppError::rate_limited(message, Duration::from_secs(3_600)))
        }
    }
}

/// Whether what is said to be of this type is shown as an image.
fn is_image(content_type: &str) -> bool {
    let mut images = IMAGE_TYPES.iter();
    images.any(|image| content_type.eq_ignore_ascii_case(image))
}

/// Takes the bytes of an upload, where the store is a directory.
///
/// # Errors
/// `not_found` for a URL that wasn't given out or has ended, `invalid` if there are more or fewer bytes than were announced, or of
/// another type, `conflict` if the upload is complete.
pub async fn receive(
    media: &Media,
    id: &AttachmentId,
    signed: &MediaQuery,
    content_type: Option<&str>,
    body: ObjectBody,
) -> Result<(), AppError> {
    if media.objects.is_remote() || !media.urls.is_good_for_upload(id, signed) {
        return Err(AppError::not_found("upload"));
    }
    let upload = media.uploads.get(id).await?;
    let upload = upload.ok_or_else(|| AppError::not_found("upload"))?;
    if upload.status != UploadStatus::Awaited {
        return Err(AppError::new(ErrorCode::Conflict, "the upload is complete"));
    }
    let same = content_type.is_some_and(|given| given.eq_ignore_ascii_case(&upload.content_type));
    if !same {
        let expected = "expected the type that was announced";
        return Err(Invalid::new("Content-Type", expected).into());
    }
    let key = key(id)?;
    let put = media
        .objects
        .put(&key, &upload.content_type, upload.size, body);
    Ok(put.await?)
}

/// One of the actor's uploads.
///
/// # Errors
/// `not_found` if there is none.
pub async fn read(media: &Media, actor: &Actor, id: &AttachmentId) -> Result<Upload, AppError> {
    Ok(shown(own(media, &actor.user_id, id).await?))
}

async fn own(media: &Media, user: &UserId, id: &AttachmentId) -> Result<StoredUpload, AppError> {
    let upload = media.uploads.get(id).await?;
    upload
        .filter(|upload| upload.owner_id == *user && upload.status != UploadStatus::Removed)
        .ok_or_else(|| AppError::not_found("upload"))
}

/// All bytes of an upload of the actor's are there: an image is processed from now on, a file can be had. Doing so again changes
/// nothing.
///
/// # Errors
/// `not_found` if there is no such upload, `conflict` if its bytes aren't there, or aren't as many as were announced.
pub async fn complete(
    media: &Arc<Media>,
    actor: &Actor,
    id: &AttachmentId,
) -> Result<Upload, AppError> {
    let upload = own(media, &actor.user_id, id).await?;
    if upload.status != UploadStatus::Awaited {
        return Ok(shown(upload));
    }
    match media.objects.head(&key(id)?).await {
        Ok(info) if info.size == upload.size => {}
        Ok(_) => {
            let message = "there are more or fewer bytes than were announced";
            return Err(AppError::new(ErrorCode::Conflict, message));
        }
        // Another call may have moved a file on meanwhile.
        Err(StoreError::NotFound) if upload.kind == AttachmentKind::File => {}
        Err(StoreError::NotFound) => return Err(not_there()),
        Err(error) => return Err(error.into()),
    }
    completed(media, &upload).await?;
    Ok(shown(own(media, &actor.user_id, id).await?))
}

fn not_there() -> AppError {
    AppError::new(ErrorCode::Conflict, "the bytes of the upload aren't there")
}

/// Goes on with an upload whose object is there.
pub(super) async fn completed(media: &Media, upload: &StoredUpload) -> Result<(), AppError> {
    let id = &upload.id;
    let completed = match upload.kind {
        AttachmentKind::Image => {
            let job = job_queue::outbox::statement(&ProcessImage::of(id))?;
            let completed = media.uploads.complete(id, None, vec![job]).await?;
            media.queue.wake();
            completed
        }
        AttachmentKind::File => {
            // From where it is served nobody can put something else in its place.
            let kept = objects::public_key(id, objects::FILE_ENDING);
            let (from, to) = (key(id)?, served(&kept)?);
            match media.objects.rename(&from, &to, OCTETS).await {
                Err(StoreError::NotFound) => return Err(not_there()),
                moved => moved?,
            }
            let file = StoredMedia {
                key: kept,
                content_type: upload.content_type.clone(),
                width: None,
                height: None,
                placeholder: None,
                animated: false,
                variants: Vec::new(),
            };
            media.uploads.complete(id, Some(&file), Vec::new()).await?
        }
    };
    if completed.is_some() {
        media.counts.count_upload(1);
        media.counts.count_bytes(upload.size);
    }
    Ok(())
}

/// The bytes of a request that comes at its own pace.
pub fn paced<S, E>(body: S, patience: Duration) -> ObjectBody
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let body = Box::pin(body);
    futures_util::stream::try_unfold(body, move |mut body| async move {
        match tokio::time::timeout(patience, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some((piece, body))),
            Ok(Some(Err(_))) => Err(StoreError::Invalid {
                field: "payload",
                message: "the body ends too early".into(),
            }),
            Err(_) => Err(StoreError::Invalid {
                field: "payload",
                message: "the body came too slowly".into(),
            }),
        }
    })
    .boxed()
}

pub(super) fn key(id: &AttachmentId) -> Result<storage::ObjectKey, AppError> {
    objects::incoming(id).map_err(|_| AppError::not_found("upload"))
}

fn served(key: &str) -> Result<storage::ObjectKey, AppError> {
    objects::served(key).map_err(|_| AppError::not_found("upload"))
}

fn shown(upload: StoredUpload) -> Upload {
    Upload {
        status: match upload.status {
            UploadStatus::Awaited => UploadState::Awaited,
            UploadStatus::Processing => UploadState::Processing,
            UploadStatus::Ready => UploadState::Ready,
            UploadStatus::Failed | UploadStatus::Removed => UploadState::Failed,
        },
        id: upload.id,
        kind: upload.kind,
        file_name: upload.file_name,
        size: upload.size,
        reason: upload.reason,
    }
}
