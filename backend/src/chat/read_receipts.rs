//! How far members have read.

use std::sync::Arc;

use protocol::{ReadAccepted, ReadChanged, RoomId, SetRead, UserId, limits::ONLINE_MAX};
use storage::StoreError;

use super::{Chat, access};
use crate::{auth::actor::Actor, completion::run_to_completion, error::AppError, topics};

/// `read:set`: only ever raises. It is sent to the room. In a room with more than [`ONLINE_MAX`] users online, and where a
/// block separates the two of a direct room, it is sent only to the reader's own connections.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn set(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: SetRead,
) -> Result<ReadAccepted, AppError> {
    let SetRead { room_id, seq } = request;
    let raised = {
        let (chat, room, user) = (chat.clone(), room_id.clone(), actor.user_id.clone());
        run_to_completion(async move { Ok(raise(&chat, &room, &user, seq).await) }).await?
    };
    let read_seq = match raised {
        Err(StoreError::NotFound) => {
            access::member(chat, actor, &room_id).await?;
            return Err(AppError::not_found("room"));
        }
        read => read?,
    };
    let unread = chat.store.unread(&room_id, &actor.user_id).await?;
    Ok(ReadAccepted { read_seq, unread })
}

async fn raise(chat: &Chat, room: &RoomId, user: &UserId, seq: u64) -> Result<u64, StoreError> {
    let read_seq = chat.store.set_read(room, user, seq).await?;
    chat.news.read(user, room, read_seq);
    let is_small = chat.presence.count(room) <= ONLINE_MAX;
    // Where it isn't known, it isn't sent.
    let blocked = chat.blocked_rooms.contains(room).await;
    let is_heard = is_small && matches!(blocked, Ok(false));
    let changed = ReadChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        seq: read_seq,
    };
    if is_heard {
        chat.delivery
            .to_topic_volatile(&topics::room(room), &changed);
    } else {
        chat.delivery.to_user_volatile(user, &changed);
    }
    Ok(read_seq)
}
