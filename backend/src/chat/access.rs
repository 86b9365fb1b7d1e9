//! Who may see a room and who may act in it. Whoever may not see it gets `not_found`, as if it weren't there.

use protocol::{RoomId, RoomKind, RoomRole};
use storage::{Membership, StoreError};

use crate::{actor::Actor, app::App, error::AppError};

/// The actor's place in a room that the actor may see: a public one, or one's own.
pub async fn see(app: &App, actor: &Actor, room: &RoomId) -> Result<Membership, AppError> {
    let membership = match app.store.membership(room, &actor.user_id).await {
        Err(StoreError::NotFound) => return Err(AppError::not_found("room")),
        found => found?,
    };
    if membership.role.is_none() && membership.kind != RoomKind::Public {
        return Err(AppError::not_found("room"));
    }
    Ok(membership)
}

/// The actor's role in a room that the actor is a member of.
pub async fn member(app: &App, actor: &Actor, room: &RoomId) -> Result<RoomRole, AppError> {
    see(app, actor, room)
        .await?
        .role
        .ok_or_else(|| AppError::forbidden("join the room first"))
}

/// The actor's role, if it is at least moderator.
pub async fn moderator(app: &App, actor: &Actor, room: &RoomId) -> Result<RoomRole, AppError> {
    let role = member(app, actor, room).await?;
    if role >= RoomRole::Moderator {
        Ok(role)
    } else {
        Err(AppError::forbidden(
            "only moderators and owners may do this",
        ))
    }
}

/// Says of a refused write why it was: the store answers `NotFound` for a room that isn't there, for one that the
/// actor isn't in, and for a message that isn't there.
pub async fn explain(app: &App, actor: &Actor, room: &RoomId, error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => match member(app, actor, room).await {
            Ok(_) => AppError::not_found("message"),
            Err(refusal) => refusal,
        },
        other => other.into(),
    }
}
