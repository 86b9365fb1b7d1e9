//! `image:upload`: a small image as a message, in one event.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{CreateUpload, ImageAccepted, Invalid, MessageSent, SendMessage, UploadImage};
use storage::StoreError;

use super::{IMAGES_OF_USER, Media, attaching, uploads};
use crate::{auth::actor::Actor, chat::access, error::AppError, limits::tiers};

/// Stores an image and sends a message with it. The same `clientId` again is the same message.
///
/// # Errors
/// `invalid` for what isn't said to be an image, `rate_limited` for too many at once or in a day, and whatever sending a message may
/// be refused with.
pub async fn upload_image(
    media: &Arc<Media>,
    actor: &Actor,
    request: UploadImage,
    data: Bytes,
) -> Result<ImageAccepted, AppError> {
    let busy = || {
        let after = std::time::Duration::from_secs(1);
        AppError::rate_limited("too many images are being uploaded", after)
    };
    let user = tiers::of_user(&actor.user_id);
    let _of_user = media.in_events_by_user.begin(user, IMAGES_OF_USER)?;
    let _of_all = media.in_events.try_acquire().map_err(|_| busy())?;
    if data.is_empty() {
        return Err(Invalid::new("data", "expected a file").into());
    }
    let (room, client_id) = (&request.room_id, &request.client_id);
    let earlier = media
        .store
        .message_of_client(room, &actor.user_id, client_id);
    match earlier.await {
        Ok(None) => {}
        Ok(Some(message)) => {
            return Ok(ImageAccepted {
                message_id: message.id,
                seq: message.seq,
            });
        }
        Err(StoreError::NotFound) => return Err(AppError::not_found("room")),
        Err(error) => return Err(error.into()),
    }
    let wanted = CreateUpload {
        file_name: request.file_name,
        content_type: request.content_type,
        size: data.len() as u64,
    };
    // Nothing is stored of who may not write here.
    access::joined(&media.store, actor, room).await?;
    let new = uploads::begin(media, actor, &wanted).await?;
    let content_type = new.content_type.clone();
    media
        .objects
        .put_bytes(&uploads::key(&new.id)?, &content_type, data)
        .await?;
    let upload = media.uploads.get(&new.id).await?;
    let upload = upload.ok_or_else(|| AppError::not_found("upload"))?;
    uploads::completed(media, &upload).await?;
    let message = SendMessage {
        room_id: request.room_id,
        client_id: request.client_id,
        body: String::new(),
        reply_to: None,
        mentions: Vec::new(),
        attachments: vec![new.id],
    };
    let MessageSent { message, .. } = attaching::send_and_wait(Some(media), actor, message).await?;
    Ok(ImageAccepted {
        message_id: message.id,
        seq: message.seq,
    })
}
