//! Who is writing. Told at most once, to whoever is subscribed, and kept nowhere.

use gateway::Socket;
use protocol::{Done, RoomId, SetTyping, TypingChanged};

use super::{access, topics};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus,
    error::AppError,
};

/// `typing:set`, on a connection that is subscribed to the room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that this connection hasn't joined, and where
/// a block stands between the two.
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
    if app
        .blocked_rooms
        .contains(&app.store, &request.room_id)
        .await?
    {
        return Err(AppError::forbidden("you may not do this"));
    }
    tell(app, actor, request.room_id, request.on);
    Ok(Done {})
}

/// The connection ended on which the actor was writing.
pub fn stopped(app: &SharedApp, actor: &Actor, room_id: RoomId) {
    let (app, actor) = (app.clone(), actor.clone());
    tokio::spawn(async move {
        let blocked = app.blocked_rooms.contains(&app.store, &room_id).await;
        if matches!(blocked, Ok(false)) {
            tell(&app, &actor, room_id, false);
        }
    });
}

/// Tells a room that the actor is writing or no longer.
fn tell(app: &App, actor: &Actor, room_id: RoomId, on: bool) {
    let topic = topics::room(&room_id);
    let changed = TypingChanged {
        room_id,
        user_id: actor.user_id.clone(),
        on,
    };
    bus::publish_volatile(app, &topic, &changed);
}
