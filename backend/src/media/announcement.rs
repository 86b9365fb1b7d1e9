//! What became of an image, told in the room of its message.

use std::sync::Arc;

use protocol::Timestamp;
use storage::{StoreError, StoredUpload, UploadStatus};

use super::{CHECK_MESSAGE, Media, after};
use crate::chat::process_attachment;

/// Records what became of an upload in the log of its room, if its message's place is known and nobody has yet. Any number of times:
/// once it is in the log it stays so.
pub async fn announce(media: &Arc<Media>, upload: &StoredUpload) -> Result<(), StoreError> {
    let Some(to) = &upload.attached_to else {
        return Ok(());
    };
    let (Some(seq), false) = (to.seq, upload.announced) else {
        return Ok(());
    };
    let decided = matches!(upload.status, UploadStatus::Ready | UploadStatus::Failed);
    let (Some(attachment), true) = (upload.attachment(), decided) else {
        return Ok(());
    };
    let recorded = process_attachment::record(
        &media.chat,
        &upload.owner_id,
        to.room_id.clone(),
        seq,
        attachment,
    );
    match recorded.await {
        // A conflict is what the message says itself: it was ready when it was sent. If it was deleted, that is found at the next
        // check.
        Ok(()) | Err(StoreError::Conflict { .. }) => {
            media
                .uploads
                .announced(&upload.id, after(CHECK_MESSAGE))
                .await
        }
        Err(StoreError::NotFound) => {
            media
                .uploads
                .remove(std::slice::from_ref(&upload.id), Timestamp::now())
                .await
        }
        Err(error) => Err(error),
    }
}
