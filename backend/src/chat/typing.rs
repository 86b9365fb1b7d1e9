//! Who is writing. Told at most once, to whoever is subscribed, and kept nowhere.

use gateway::Socket;
use protocol::{Done, RoomId, SetTyping, TypingChanged};

use super::{access, topics};
use crate::{actor::Actor, app::App, bus, error::AppError};

/// `typing:set`, on a connection that is subscribed to the room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that this connection hasn't joined.
pub async fn set(
    app: &App,
    actor: &Actor,
    socket: &Socket,
    request: SetTyping,
) -> Result<Done, AppError> {
    if !socket.is_subscribed(&topics::room(&request.room_id)) {
        access::see(app, actor, &request.room_id).await?;
        return Err(AppError::forbidden("join the room first"));
    }
    tell(app, actor, request.room_id, request.on);
    Ok(Done {})
}

/// Tells a room that the actor is writing or no longer.
pub fn tell(app: &App, actor: &Actor, room_id: RoomId, on: bool) {
    let topic = topics::room(&room_id);
    let changed = TypingChanged {
        room_id,
        user_id: actor.user_id.clone(),
        on,
    };
    bus::publish_volatile(app, &topic, &changed);
}
