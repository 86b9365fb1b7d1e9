//! `users`: other users.

use axum::{Json, extract::State};
use protocol::{ListUsers, UserBody, UserId, UserPage};

use super::request::{Path, Query};
use crate::{accounts::users, app::SharedApp, auth::actor::Actor, error::AppError};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListUsers>,
) -> Result<Json<UserPage>, AppError> {
    Ok(Json(users::find(&app.accounts, &actor, request).await?))
}

pub async fn read(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<UserId>,
) -> Result<Json<UserBody>, AppError> {
    let user = users::read(&app.accounts, &actor, &id).await?;
    Ok(Json(UserBody { user }))
}
