//! Events from other programs.

use axum::extract::State;
use http::StatusCode;
use protocol::PublishRequest;

use super::request::JsonBody;
use crate::{api_key::KeyHolder, app::SharedApp, error::AppError, publish};

/// `POST /api/v1/publish`
pub async fn publish(
    State(app): State<SharedApp>,
    _: KeyHolder,
    JsonBody(request): JsonBody<PublishRequest>,
) -> Result<StatusCode, AppError> {
    publish::publish(&app, request)?;
    Ok(StatusCode::NO_CONTENT)
}
