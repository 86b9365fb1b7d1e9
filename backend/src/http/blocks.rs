//! `me/blocks`: whom one doesn't want to hear from.

use axum::extract::State;
use http::StatusCode;
use protocol::{Timestamp, UserId};
use storage::StoreError;

use super::request::Path;
use crate::{actor::Actor, app::SharedApp, error::AppError};

pub async fn put(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    match app
        .store
        .block(&actor.user_id, &user, Timestamp::now())
        .await
    {
        Err(StoreError::NotFound) => return Err(AppError::not_found("user")),
        blocked => blocked?,
    };
    Ok(StatusCode::NO_CONTENT)
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    app.store.unblock(&actor.user_id, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
