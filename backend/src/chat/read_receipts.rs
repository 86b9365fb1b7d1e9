//! How far members have read.

use protocol::{ReadAccepted, ReadChanged, SetRead, limits::ONLINE_MAX};
use storage::StoreError;

use super::{access, topics};
use crate::{actor::Actor, app::App, bus, error::AppError};

/// `read:set`: only ever raises. The room learns of it; in a room with more than [`ONLINE_MAX`] online only the
/// reader's own connections do, since there every reader would be told to every other, and so it is where a block stands
/// between the two of a direct room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn set(app: &App, actor: &Actor, request: SetRead) -> Result<ReadAccepted, AppError> {
    let SetRead { room_id, seq } = request;
    let read_seq = match app.store.set_read(&room_id, &actor.user_id, seq).await {
        Err(StoreError::NotFound) => {
            access::member(app, actor, &room_id).await?;
            return Err(AppError::not_found("room"));
        }
        read => read?,
    };
    let unread = app.store.unread(&room_id, &actor.user_id).await?;
    let is_small = app.presence.count(&room_id) <= ONLINE_MAX;
    // Not known is not told.
    let blocked = app.blocked_rooms.contains(&app.store, &room_id).await;
    let is_heard = is_small && matches!(blocked, Ok(false));
    let topic = topics::room(&room_id);
    let changed = ReadChanged {
        room_id,
        user_id: actor.user_id.clone(),
        seq: read_seq,
    };
    if is_heard {
        bus::publish_volatile(app, &topic, &changed);
    } else {
        bus::publish_to_user_volatile(app, &actor.user_id, &changed);
    }
    Ok(ReadAccepted { read_seq, unread })
}
