//! Who is writing. Sent at most once, to subscribers, and kept nowhere.

use std::sync::Arc;

use gateway::Socket;
use protocol::{Done, RoomId, SetTyping, TypingChanged};

use super::{Chat, access};
use crate::{auth::actor::Actor, error::AppError, topics};

/// `typing:set`, on a connection that is subscribed to the room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that this connection hasn't joined, and where
/// a block stands between the two.
pub async fn set(
    chat: &Chat,
    actor: &Actor,
    socket: &Socket,
    request: SetTyping,
) -> Result<Done, AppError> {
    if !socket.is_subscribed(&topics::room(&request.room_id)) {
        access::see(chat, actor, &request.room_id).await?;
        return Err(AppError::forbidden("join the room first"));
    }
    if chat.blocked_rooms.contains(&request.room_id).await? {
        return Err(AppError::forbidden("you may not do this"));
    }
    announce(chat, actor, request.room_id, request.on);
    Ok(Done {})
}

/// The connection closed on which the actor was writing.
pub fn stopped(chat: &Arc<Chat>, actor: &Actor, room_id: RoomId) {
    let (chat, actor) = (chat.clone(), actor.clone());
    tokio::spawn(async move {
        let blocked = chat.blocked_rooms.contains(&room_id).await;
        if matches!(blocked, Ok(false)) {
            announce(&chat, &actor, room_id, false);
        }
    });
}

/// Announces to a room that the actor is writing, or has stopped.
fn announce(chat: &Chat, actor: &Actor, room_id: RoomId, on: bool) {
    let topic = topics::room(&room_id);
    let changed = TypingChanged {
        room_id,
        user_id: actor.user_id.clone(),
        on,
    };
    chat.delivery.to_topic_volatile(&topic, &changed);
}
