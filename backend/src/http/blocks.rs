//! `me/blocks`: whom one doesn't want to hear from.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{ListBlocks, Timestamp, UserId, UserPage, limits::PAGE_DEFAULT};
use storage::{Page, StoreError};

use super::request::{Path, Query};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::{self, Control},
    chat::{blocked_rooms, wire},
    completion::to_the_end,
    error::AppError,
};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListBlocks>,
) -> Result<Json<UserPage>, AppError> {
    // Their ids are read at once: they are at most 1,000.
    let mut blocked = app.store.blocked_by(&actor.user_id).await?;
    blocked.sort_unstable();
    if let Some(after) = &request.after {
        let behind = blocked.partition_point(|id| id <= after);
        blocked.drain(..behind);
    }
    let limit = request.limit.unwrap_or(PAGE_DEFAULT) as usize;
    let has_more = blocked.len() > limit;
    blocked.truncate(limit);
    let mut items: Vec<_> = app.store.users(&blocked).await?;
    items.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Json(wire::users(Page { items, has_more })?))
}

pub async fn put(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    to_the_end(async move {
        match app
            .store
            .block(&actor.user_id, &user, Timestamp::now())
            .await
        {
            Err(StoreError::NotFound) => return Err(AppError::not_found("user")),
            blocked => blocked?,
        };
        changed(&app, &actor, &user).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    to_the_end(async move {
        app.store.unblock(&actor.user_id, &user).await?;
        changed(&app, &actor, &user).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A block is felt by both, on every instance.
async fn changed(app: &App, actor: &Actor, user: &UserId) -> Result<(), AppError> {
    for user in [&actor.user_id, user] {
        bus::tell_everybody(app, Control::UserChanged(user.clone()));
    }
    blocked_rooms::block_changed(app, &actor.user_id, user).await?;
    Ok(())
}
