//! Who may see a room and who may act in it. For those who may not see it, it doesn't exist: `not_found`.

use protocol::{RoomId, RoomKind, RoomRole};
use storage::{Membership, MessageStore, StoreError};

use super::Chat;
use crate::{auth::actor::Actor, error::AppError};

/// The actor's membership in a room that the actor may see: a public one, or one that the actor is a member of.
pub async fn see(chat: &Chat, actor: &Actor, room: &RoomId) -> Result<Membership, AppError> {
    visible(&chat.store, actor, room).await
}

async fn visible(
    store: &MessageStore,
    actor: &Actor,
    room: &RoomId,
) -> Result<Membership, AppError> {
    let membership = match store.membership(room, &actor.user_id).await {
        Err(StoreError::NotFound) => return Err(AppError::not_found("room")),
        found => found?,
    };
    if membership.role.is_none() && membership.kind != RoomKind::Public {
        return Err(AppError::not_found("room"));
    }
    Ok(membership)
}

/// The actor's role in a room that the actor is a member of.
pub async fn member(chat: &Chat, actor: &Actor, room: &RoomId) -> Result<RoomRole, AppError> {
    Ok(joined(&chat.store, actor, room).await?.0)
}

/// As [`member`], and the kind of the room; for domains beside chat.
pub async fn joined(
    store: &MessageStore,
    actor: &Actor,
    room: &RoomId,
) -> Result<(RoomRole, RoomKind), AppError> {
    let membership = visible(store, actor, room).await?;
    match membership.role {
        Some(role) => Ok((role, membership.kind)),
        None => Err(AppError::forbidden("join the room first")),
    }
}

/// The actor's role, if it is at least moderator.
pub async fn moderator(chat: &Chat, actor: &Actor, room: &RoomId) -> Result<RoomRole, AppError> {
    let role = member(chat, actor, room).await?;
    if role >= RoomRole::Moderator {
        Ok(role)
    } else {
        Err(AppError::forbidden(
            "only moderators and owners may do this",
        ))
    }
}

/// Explains a refused write: the store answers `NotFound` for a room that doesn't exist, for one that the actor isn't a
/// member of, and for a message that doesn't exist.
pub async fn explain(chat: &Chat, actor: &Actor, room: &RoomId, error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => match member(chat, actor, room).await {
            Ok(_) => AppError::not_found("message"),
            Err(refusal) => refusal,
        },
        other => other.into(),
    }
}
