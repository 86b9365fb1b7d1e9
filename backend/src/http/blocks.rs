//! `me/blocks`: users from whom the actor doesn't want to hear.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{ListBlocks, UserId, UserPage};

use super::request::{Path, Query};
use crate::{accounts::blocks, app::SharedApp, auth::actor::Actor, error::AppError};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListBlocks>,
) -> Result<Json<UserPage>, AppError> {
    Ok(Json(blocks::list(&app.accounts, &actor, request).await?))
}

pub async fn put(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    blocks::add(&app.accounts, &actor, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    blocks::remove(&app.accounts, &actor, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
