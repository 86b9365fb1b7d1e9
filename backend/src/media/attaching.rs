//! Messages with attachments: uploads are taken before the message is sent, and told its place afterwards. What an interruption
//! leaves undone in between, the sweeper does.

use std::{sync::Arc, time::Duration};

use protocol::{
    AttachmentId, ChangeAccepted, DeleteMessage, ErrorCode, Invalid, MessageSent, RoomId, RoomKind,
    SendMessage, Timestamp,
};
use storage::{AttachedTo, AttachmentState, StoreError, StoredAttachment};

use super::{CHECK_MESSAGE, Media, UNATTACHED, after, announcement::announce};
use crate::{
    auth::actor::Actor,
    chat::{access, change_message, send_message},
    error::AppError,
};

/// When somebody looks whether a message was stored that nobody has heard of since, and when again.
pub const UNKNOWN: Duration = Duration::from_secs(10);

/// When somebody looks whether what became of an image was told.
const UNTOLD: Duration = Duration::from_secs(30);

/// As [`send_message::start_with_mentions`], with the uploads that the message names. Without a store for them nothing can be
/// attached.
pub async fn send(
    media: Option<&Arc<Media>>,
    actor: &Actor,
    request: SendMessage,
    done: impl FnOnce(Result<MessageSent, AppError>) + Send + 'static,
) {
    let Some(media) = media else {
        return done(Err(Invalid::new(
            "attachments",
            "nothing can be attached here",
        )
        .into()));
    };
    let ids = request.attachments.clone();
    let to = match place(media, actor, &request.room_id, &request.client_id).await {
        Ok(to) => to,
        Err(error) => return done(Err(error)),
    };
    let attachments = match attach(media, actor, &ids, &to).await {
        Ok(attachments) => attachments,
        Err(error) => return done(Err(error)),
    };
    let (media_done, open) = (media.clone(), being_processed(&attachments));
    let sent = move |result: Result<MessageSent, AppError>| {
        let outcome = match &result {
            Ok(sent) => Ok(sent.message.seq),
            Err(error) => Err(error.code()),
        };
        done(result);
        tokio::spawn(async move { settle(&media_done, ids, to, open, outcome).await });
    };
    send_message::start_with_mentions(&media.chat, actor, request, attachments, sent).await;
}

/// As [`send`], and waits.
///
/// # Errors
/// Those of [`send_message::send`], `conflict` for what can't be attached.
pub async fn send_and_wait(
    media: Option<&Arc<Media>>,
    actor: &Actor,
    request: SendMessage,
) -> Result<MessageSent, AppError> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    send(media, actor, request, |result| {
        // The one who asked may have gone; the message stays.
        drop(sender.send(result));
    })
    .await;
    answer.await.map_err(AppError::internal)?
}

/// The message that uploads are going to be attached to.
async fn place(
    media: &Media,
    actor: &Actor,
    room_id: &RoomId,
    client_id: &str,
) -> Result<AttachedTo, AppError> {
    let (_, kind) = access::joined(&media.store, actor, room_id).await?;
    Ok(AttachedTo {
        room_id: room_id.clone(),
        client_id: client_id.to_owned(),
        private: kind != RoomKind::Public,
        seq: None,
        at: Timestamp::now(),
    })
}

async fn attach(
    media: &Media,
    actor: &Actor,
    ids: &[AttachmentId],
    to: &AttachedTo,
) -> Result<Vec<StoredAttachment>, AppError> {
    let is_twice = |(index, id): (usize, &AttachmentId)| ids[..index].contains(id);
    if ids.iter().enumerate().any(is_twice) {
        return Err(Invalid::new("attachments", "expected each upload once").into());
    }
    let attached = media
        .uploads
        .attach(ids, &actor.user_id, to, after(UNKNOWN))
        .await?;
    let attachments = attached.iter().filter_map(|upload| upload.attachment());
    Ok(attachments.collect())
}

/// Of these, those of which the message doesn't say yet what becomes of them.
fn being_processed(attachments: &[StoredAttachment]) -> Vec<AttachmentId> {
    attachments
        .iter()
        .filter(|attachment| attachment.state == AttachmentState::Processing)
        .map(|attachment| attachment.id.clone())
        .collect()
}

/// Notes what became of a message with attachments: its place, or that it wasn't stored.
async fn settle(
    media: &Arc<Media>,
    ids: Vec<AttachmentId>,
    to: AttachedTo,
    open: Vec<AttachmentId>,
    outcome: Result<u64, ErrorCode>,
) {
    let settled = match outcome {
        Ok(seq) => told_place(media, &ids, &to, seq, &open).await,
        // Perhaps it was.
        Err(ErrorCode::Unavailable | ErrorCode::Internal) => Ok(()),
        Err(_) => media.uploads.detach(&ids, &to, after(UNATTACHED)).await,
    };
    if let Err(error) = settled {
        tracing::debug!(%error, "attachments are seen to later");
    }
}

/// Tells uploads the place of their message, and the room what became of those that were finished meanwhile.
pub async fn told_place(
    media: &Arc<Media>,
    ids: &[AttachmentId],
    to: &AttachedTo,
    seq: u64,
    open: &[AttachmentId],
) -> Result<(), StoreError> {
    let uploads = media.uploads.sent(ids, to, seq, after(UNTOLD)).await?;
    for upload in uploads {
        match open.contains(&upload.id) {
            true => announce(media, &upload).await?,
            false => {
                media
                    .uploads
                    .announced(&upload.id, after(CHECK_MESSAGE))
                    .await?
            }
        }
    }
    Ok(())
}

/// As [`change_message::delete`]; what was attached goes with the message.
pub async fn delete(
    media: Option<&Arc<Media>>,
    chat: &Arc<crate::chat::Chat>,
    actor: &Actor,
    request: DeleteMessage,
    done: impl FnOnce(Result<ChangeAccepted, AppError>) + Send + 'static,
) {
    let media = media.cloned();
    let removed = move |ids: Vec<AttachmentId>| {
        if let Some(media) = media {
            media.let_go(ids);
        }
    };
    change_message::delete(chat, actor, request, removed, done).await;
}
