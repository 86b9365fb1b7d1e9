//! `presence:get`: who is online in a room.

use protocol::{GetPresence, Presence};

use super::{Chat, access};
use crate::{auth::actor::Actor, error::AppError};

/// Who is online, for members only. Where a block separates the two of a direct room, the other isn't online.
///
/// # Errors
/// As [`access::member`]; `unavailable` while the instances can't tell each other.
pub async fn get(chat: &Chat, actor: &Actor, request: GetPresence) -> Result<Presence, AppError> {
    let room = &request.room_id;
    access::member(chat, actor, room).await?;
    let mut answer = chat.presence.online(room).await?;
    if chat.blocked_rooms.contains(room).await? {
        answer.online.retain(|user| *user == actor.user_id);
        answer.count = answer.online.len() as u64;
    }
    Ok(answer)
}
