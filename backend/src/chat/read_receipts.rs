//! How far members have read.

use protocol::{ReadAccepted, ReadChanged, RoomId, SetRead, UserId, limits::ONLINE_MAX};
use storage::StoreError;

use super::{access, topics};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus,
    completion::to_the_end,
    error::AppError,
};

/// `read:set`: only ever raises. The room learns of it; in a room with more than [`ONLINE_MAX`] online only the
/// reader's own connections do, since there every reader would be told to every other, and so it is where a block stands
/// between the two of a direct room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn set(
    app: &SharedApp,
    actor: &Actor,
    request: SetRead,
) -> Result<ReadAccepted, AppError> {
    let SetRead { room_id, seq } = request;
    let raised = {
        let (app, room, user) = (app.clone(), room_id.clone(), actor.user_id.clone());
        to_the_end(async move { Ok(raise(&app, &room, &user, seq).await) }).await?
    };
    let read_seq = match raised {
        Err(StoreError::NotFound) => {
            access::member(app, actor, &room_id).await?;
            return Err(AppError::not_found("room"));
        }
        read => read?,
    };
    let unread = app.store.unread(&room_id, &actor.user_id).await?;
    Ok(ReadAccepted { read_seq, unread })
}

async fn raise(app: &App, room: &RoomId, user: &UserId, seq: u64) -> Result<u64, StoreError> {
    let read_seq = app.store.set_read(room, user, seq).await?;
    let is_small = app.presence.count(room) <= ONLINE_MAX;
    // Not known is not told.
    let blocked = app.blocked_rooms.contains(&app.store, room).await;
    let is_heard = is_small && matches!(blocked, Ok(false));
    let changed = ReadChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        seq: read_seq,
    };
    if is_heard {
        bus::publish_volatile(app, &topics::room(room), &changed);
    } else {
        bus::publish_to_user_volatile(app, user, &changed);
    }
    Ok(read_seq)
}
