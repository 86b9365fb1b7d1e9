//! Serving images and files to whoever has a URL that was given out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use images::{
    Resized,
    exchange::{Done, Task},
};
use protocol::{ErrorCode, Invalid, MediaQuery, limits::IMAGE_MAX};
use storage::{ByteRange, Object, ObjectKey, StoreError, Unsatisfiable};

use super::{Media, objects};
use crate::error::AppError;

/// The side of the box that isn't said.
const ANY: u32 = 16_384;

/// The quality that isn't said.
const QUALITY: u8 = 80;

/// What a URL that was given out leads to. It is the same for ever, whoever asks.
pub struct Wanted {
    key: String,
    object: ObjectKey,
    /// A copy in another size.
    copy: Option<Resized>,
}

/// What is sent.
pub enum Delivered {
    /// A copy in another size.
    Copy(Bytes),
    /// An object, or a part of one.
    Object(Object),
    /// The part lies behind the end of an object of this size.
    Shorter(u64),
}

impl Wanted {
    /// Behind a key. Nothing is read for it.
    ///
    /// # Errors
    /// `not_found` for any URL that wasn't given out, or has ended; `invalid` for a copy of what isn't an image.
    pub fn behind(media: &Media, key: &str, query: &MediaQuery) -> Result<Self, AppError> {
        let absent = || AppError::not_found("file");
        if !media.urls.is_good(key, query) {
            return Err(absent());
        }
        let is_copy = (query.w, query.h) != (None, None);
        if is_copy && key.ends_with(objects::FILE_ENDING) {
            return Err(Invalid::new("w", "expected the URL of an image").into());
        }
        Ok(Self {
            key: key.to_owned(),
            object: objects::served(key).map_err(|_| absent())?,
            copy: is_copy.then(|| Resized {
                width: query.w.unwrap_or(ANY),
                height: query.h.unwrap_or(ANY),
                quality: query.q.and_then(|q| q.try_into().ok()).unwrap_or(QUALITY),
            }),
        })
    }

    /// Whether it is a copy in another size.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// What names its content, and no other.
    pub fn tag(&self) -> String {
        match &self.copy {
            None => self.key.clone(),
            Some(Resized {
                width,
                height,
                quality,
            }) => format!("{}-w{width}-h{height}-q{quality}", self.key),
        }
    }
}

/// Reads what is wanted, or a part of it if that isn't a copy.
///
/// # Errors
/// `not_found` if nothing is there any more, `rate_limited` while many copies are being made.
pub async fn deliver(
    media: &Arc<Media>,
    wanted: Wanted,
    range: Option<ByteRange>,
) -> Result<Delivered, AppError> {
    if let Some(resized) = wanted.copy {
        return Ok(Delivered::Copy(copy(media, wanted, resized).await?));
    }
    match media.objects.get(&wanted.object, range).await {
        Ok(Ok(object)) => Ok(Delivered::Object(object)),
        Ok(Err(Unsatisfiable { size })) => Ok(Delivered::Shorter(size)),
        Err(StoreError::NotFound) => Err(AppError::not_found("file")),
        Err(error) => Err(error.into()),
    }
}

/// Looks whether there still is what is wanted.
///
/// # Errors
/// `not_found` if not.
pub async fn look(media: &Media, wanted: &Wanted) -> Result<(), AppError> {
    match media.objects.head(&wanted.object).await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound) => Err(AppError::not_found("file")),
        Err(error) => Err(error.into()),
    }
}

/// A copy of an image that fits into a box: made once for all who ask at the same time, and kept for a while.
async fn copy(media: &Arc<Media>, wanted: Wanted, resized: Resized) -> Result<Bytes, AppError> {
    let name = wanted.tag();
    let making = {
        let media = media.clone();
        // Goes on when the first who asked is gone.
        async move {
            let making = async move { made(&media, &wanted.object, resized).await };
            match tokio::spawn(making).await {
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

async fn made(media: &Media, object: &ObjectKey, resized: Resized) -> Result<Bytes, Arc<AppError>> {
    let _permit = media.resizing.try_acquire().map_err(|_| {
        let message = "too many images are being resized; try again";
        Arc::new(AppError::rate_limited(message, Duration::from_secs(1)))
    })?;
    let file = match media.objects.read(object, 2 * IMAGE_MAX as usize).await {
        Ok(file) => file,
        Err(StoreError::NotFound) => return Err(Arc::new(AppError::not_found("file"))),
        Err(error) => return Err(Arc::new(error.into())),
    };
    match media.images.run(Task::Resize(resized), file).await {
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
