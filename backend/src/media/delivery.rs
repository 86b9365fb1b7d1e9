//! Serving images and files to whoever has a URL that was given out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use images::exchange::{Done, Task};
use protocol::{ErrorCode, Invalid, MediaQuery, limits::IMAGE_MAX};
use storage::{ByteRange, Object, StoreError};

use super::{Media, objects};
use crate::error::AppError;

/// The side of the box that isn't said.
const ANY: u32 = 16_384;

/// The quality that isn't said.
const QUALITY: u32 = 80;

/// What is sent.
pub enum Delivered {
    /// A copy in another size.
    Copy(Bytes),
    /// An object, or a part of one.
    Object(Object),
}

/// What stands behind a key, for a URL that was given out.
///
/// # Errors
/// `not_found` for any other URL, one that has ended, or if nothing is there any more; `invalid` for a copy of what isn't an image, or
/// a range that begins behind the end, `rate_limited` while many copies are being made.
pub async fn deliver(
    media: &Arc<Media>,
    key: &str,
    query: &MediaQuery,
    range: Option<ByteRange>,
) -> Result<Delivered, AppError> {
    let absent = || AppError::not_found("file");
    if !media.urls.is_good(key, query) {
        return Err(absent());
    }
    let object = objects::served(key).map_err(|_| absent())?;
    if (query.w, query.h) != (None, None) {
        if key.ends_with(objects::FILE_ENDING) {
            return Err(Invalid::new("w", "expected the URL of an image").into());
        }
        return Ok(Delivered::Copy(copy(media, key, query).await?));
    }
    match media.objects.get(&object, range).await {
        Ok(object) => Ok(Delivered::Object(object)),
        Err(StoreError::NotFound) => Err(absent()),
        Err(error) => Err(error.into()),
    }
}

/// A copy of an image that fits into a box: made once for all who ask at the same time, and kept for a while.
async fn copy(media: &Arc<Media>, key: &str, query: &MediaQuery) -> Result<Bytes, AppError> {
    let task = Task::Resize {
        width: query.w.unwrap_or(ANY),
        height: query.h.unwrap_or(ANY),
        quality: u8::try_from(query.q.unwrap_or(QUALITY)).unwrap_or(80),
    };
    let name = format!("{key}:{task:?}");
    let making = {
        let (media, key) = (media.clone(), key.to_owned());
        // Goes on when the first who asked is gone.
        async move {
            match tokio::spawn(async move { made(&media, &key, task).await }).await {
                Ok(made) => made,
                Err(_) => Err(Arc::new(AppError::internal(
                    "making a copy of an image panicked",
                ))),
            }
        }
    };
    let copy = media.resized.try_get_with(name, making).await;
    copy.map_err(|error| error.body().clone().into())
}

async fn made(media: &Media, key: &str, task: Task) -> Result<Bytes, Arc<AppError>> {
    let absent = || Arc::new(AppError::not_found("file"));
    let object = objects::served(key).map_err(|_| absent())?;
    let _permit = media.resizing.try_acquire().map_err(|_| {
        let message = "too many images are being resized; try again";
        Arc::new(AppError::rate_limited(message, Duration::from_secs(1)))
    })?;
    let file = match media.objects.read(&object, 2 * IMAGE_MAX as usize).await {
        Ok(file) => file,
        Err(StoreError::NotFound) => return Err(absent()),
        Err(error) => return Err(Arc::new(error.into())),
    };
    match media.images.run(task, file).await {
        Ok(Ok(Done::Resized(copy))) => {
            media.counts.count_resized(1);
            Ok(copy.bytes.into())
        }
        Ok(_) => Err(Arc::new(AppError::internal(
            "an image of our own can't be decoded",
        ))),
        Err(error) => {
            tracing::warn!(%error, "a copy of an image couldn't be made");
            let message = "the image can't be resized now; try again";
            Err(Arc::new(AppError::new(ErrorCode::Unavailable, message)))
        }
    }
}
