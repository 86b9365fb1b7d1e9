//! `users`: others, as they show themselves.

use axum::{Json, extract::State};
use protocol::{ListUsers, UserBody, UserId, UserPage, limits::PAGE_DEFAULT};
use storage::StoreError;

use super::request::{Path, Query};
use crate::{actor::Actor, app::SharedApp, chat::wire, error::AppError};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListUsers>,
) -> Result<Json<UserPage>, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let _turn = app.search_turns.take(&actor.user_id).await?;
    let page = app
        .store
        .find_users(&request.query, request.after.as_ref(), limit)
        .await?;
    Ok(Json(wire::users(page)?))
}

pub async fn read(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<UserId>,
) -> Result<Json<UserBody>, AppError> {
    let user = match app.store.user(&id).await {
        Err(StoreError::NotFound) => return Err(AppError::not_found("user")),
        user => user?,
    };
    let user = if id == actor.user_id {
        wire::oneself(user)
    } else {
        wire::user(user)
    };
    Ok(Json(UserBody { user }))
}
