//! `sessions`: the devices that the actor is signed in on.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{SessionId, SessionPage};

use super::request::Path;
use crate::{accounts::sessions, app::SharedApp, auth::actor::Actor, error::AppError};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
) -> Result<Json<SessionPage>, AppError> {
    Ok(Json(sessions::list(&app.accounts, &actor).await?))
}

pub async fn delete_others(
    State(app): State<SharedApp>,
    actor: Actor,
) -> Result<StatusCode, AppError> {
    sessions::end_others(&app.accounts, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, AppError> {
    sessions::end_one(&app.accounts, &actor, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}
