//! Stored things as clients see them, and events as frames.

use gateway::Frame;
use protocol::{
    Attachment, AttachmentKind, AttachmentStatus, ImageFailed, ImageReady, Message, MessageDeleted,
    MessageEdited, MessageReacted, Resync, Room, RoomEvent, RoomId, RoomMember, RoomPage, RoomVoid,
    ServerEvent, User, UserId, UserPage,
};
use storage::{
    AttachmentState, EventBody, Page, StoredAttachment, StoredEvent, StoredMember, StoredMessage,
    StoredRoom, StoredUser,
};

use crate::{error::AppError, media_urls::MediaUrls, page};

/// A message for `viewer`: its `clientId` is for its sender only.
pub fn message(stored: StoredMessage, viewer: Option<&UserId>, urls: &MediaUrls) -> Message {
    let own = viewer == Some(&stored.sender.id);
    Message {
        id: stored.id,
        room_id: stored.room_id,
        seq: stored.seq,
        client_id: stored.client_id.filter(|_| own),
        sender: stored.sender,
        body: stored.body,
        at: stored.at,
        reply_to: stored.reply_to,
        attachments: stored
            .attachments
            .into_iter()
            .map(|stored| attachment(stored, urls))
            .collect(),
        edited_at: stored.edited_at,
        deleted_at: stored.deleted_at,
        reactions: stored.reactions,
    }
}

/// An attachment of a message.
fn attachment(stored: StoredAttachment, urls: &MediaUrls) -> Attachment {
    let mut shown = Attachment {
        id: stored.id,
        kind: stored.kind,
        size: stored.size,
        url: None,
        width: None,
        height: None,
        variants: None,
        placeholder: None,
        animated: None,
        status: AttachmentStatus::Processing,
        reason: None,
        file_name: stored.file_name,
    };
    match stored.state {
        AttachmentState::Processing => {}
        AttachmentState::Failed(reason) => {
            shown.status = AttachmentStatus::Failed;
            shown.reason = Some(reason);
        }
        AttachmentState::Ready(media) => {
            shown.status = AttachmentStatus::Ready;
            let is_image = shown.kind == AttachmentKind::Image;
            let name = Some(&*shown.file_name).filter(|_| !is_image);
            shown.url = Some(urls.url(&media.key, name, stored.private));
            shown.width = media.width;
            shown.height = media.height;
            shown.variants = is_image.then(|| urls.variants(&media.variants, stored.private));
            shown.animated = is_image.then_some(media.animated);
            shown.placeholder = media.placeholder;
        }
    }
    shown
}

/// Messages for `viewer`.
pub fn messages(
    stored: Vec<StoredMessage>,
    viewer: Option<&UserId>,
    urls: &MediaUrls,
) -> Vec<Message> {
    stored
        .into_iter()
        .map(|stored| message(stored, viewer, urls))
        .collect()
}

/// An event of a room's log for `viewer`.
pub fn event(stored: StoredEvent, viewer: Option<&UserId>, urls: &MediaUrls) -> RoomEvent {
    let StoredEvent { room_id, seq, body } = stored;
    match body {
        EventBody::Sent(sent) => RoomEvent::New(message(sent, viewer, urls)),
        EventBody::Edited {
            of,
            message: edited,
        } => RoomEvent::Edited(MessageEdited {
            room_id,
            seq,
            of,
            message: message(edited, viewer, urls),
        }),
        EventBody::Processed {
            of,
            message_id,
            attachment,
        } => match attachment.state {
            AttachmentState::Ready(media) => RoomEvent::ImageReady(ImageReady {
                message_id,
                room_id,
                seq,
                of,
                url: urls.url(&media.key, None, attachment.private),
                width: media.width.unwrap_or(0),
                height: media.height.unwrap_or(0),
                variants: urls.variants(&media.variants, attachment.private),
                placeholder: media.placeholder,
                animated: media.animated,
                attachment_id: attachment.id,
            }),
            AttachmentState::Failed(reason) => RoomEvent::ImageFailed(ImageFailed {
                message_id,
                room_id,
                seq,
                of,
                attachment_id: attachment.id,
                reason,
            }),
            // Nothing is recorded of what is still being processed.
            AttachmentState::Processing => RoomEvent::Void(RoomVoid { room_id, seq }),
        },
        EventBody::Deleted { of } => RoomEvent::Deleted(MessageDeleted { room_id, seq, of }),
        EventBody::Reacted {
            of,
            emoji,
            user_id,
            on,
        } => RoomEvent::Reacted(MessageReacted {
            room_id,
            seq,
            of,
            emoji,
            user_id,
            on,
        }),
        EventBody::Tombstone => RoomEvent::Void(RoomVoid { room_id, seq }),
    }
}

/// A room as its viewer sees it; a direct room bears the name of the other one.
pub fn room(stored: StoredRoom) -> Room {
    let name = match stored.peer {
        Some(peer) => peer.display_name,
        None => stored.name,
    };
    let (role, read_seq, unread) = match stored.viewer {
        Some(viewer) => (
            Some(viewer.role),
            Some(viewer.read_seq),
            Some(viewer.unread),
        ),
        None => (None, None, None),
    };
    Room {
        id: stored.id,
        name,
        kind: stored.kind,
        created_at: stored.created_at,
        member_count: stored.member_count,
        head_seq: stored.head_seq,
        epoch: stored.epoch,
        role,
        read_seq,
        unread,
    }
}

/// A page of rooms as their viewer sees them.
///
/// # Errors
/// Never for what the store holds.
pub fn rooms(stored: Page<StoredRoom>) -> Result<RoomPage, AppError> {
    let mut rooms: Vec<_> = stored.items.into_iter().map(room).collect();
    Ok(RoomPage {
        has_more: page::end(&mut rooms).map_err(AppError::internal)? || stored.has_more,
        rooms,
    })
}

/// A page of users as others see them.
///
/// # Errors
/// Never for what the store holds.
pub fn users(stored: Page<StoredUser>, urls: &MediaUrls) -> Result<UserPage, AppError> {
    let shown = stored.items.into_iter().map(|stored| user(stored, urls));
    let mut users: Vec<_> = shown.collect();
    Ok(UserPage {
        has_more: page::end(&mut users).map_err(AppError::internal)? || stored.has_more,
        users,
    })
}

/// A user as others see them.
pub fn user(stored: StoredUser, urls: &MediaUrls) -> User {
    User {
        id: stored.id,
        username: stored.username,
        display_name: stored.display_name,
        avatar_url: stored.avatar_url.map(|stored| urls.avatar(stored)),
        guest: stored.guest,
        role: stored.role,
        email: None,
    }
}

/// A user as they see themselves.
pub fn oneself(stored: StoredUser, urls: &MediaUrls) -> User {
    let email = stored.email.clone();
    User {
        email,
        ..user(stored, urls)
    }
}

/// A member of a room. How far they have read is for those who are in it as well.
pub fn member(stored: StoredMember, asker_is_in: bool, urls: &MediaUrls) -> RoomMember {
    RoomMember {
        user: user(stored.user, urls),
        role: stored.role,
        joined_at: stored.joined_at,
        read_seq: asker_is_in.then_some(stored.read_seq),
    }
}

/// A server event of the namespace `/`; `None` if it can't be encoded, which is logged.
pub fn frame<T: ServerEvent>(event: &T) -> Option<Frame> {
    frame_in("/", event)
}

/// A server event of any namespace; likewise.
pub fn frame_in<T: ServerEvent>(namespace: &str, event: &T) -> Option<Frame> {
    match Frame::event(namespace, T::NAME, event) {
        Ok(frame) => Some(frame),
        Err(error) => {
            tracing::error!(%error, event = T::NAME, "a server event can't be encoded");
            None
        }
    }
}

/// The event for a connection that fell behind; `None` if it can't be encoded, which is logged.
pub fn resync(room: &RoomId, head_seq: u64) -> Option<Frame> {
    frame(&Resync {
        room_id: room.clone(),
        head_seq,
    })
}
