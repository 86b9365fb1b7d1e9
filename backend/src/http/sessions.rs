//! `sessions`: the devices one is signed in on.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{SessionId, SessionPage};

use super::request::Path;
use crate::{accounts::sessions, actor::Actor, app::SharedApp, error::AppError};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
) -> Result<Json<SessionPage>, AppError> {
    Ok(Json(sessions::list(&app, &actor).await?))
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, AppError> {
    sessions::end_one(&app, &actor, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}
