//! Events from other programs.

use axum::extract::State;
use http::StatusCode;
use protocol::PublishRequest;

use super::request::{JsonBody, KeyHolder};
use crate::{app::SharedApp, error::AppError};

/// `POST /api/v1/publish`
pub async fn publish(
    State(app): State<SharedApp>,
    _: KeyHolder,
    JsonBody(request): JsonBody<PublishRequest>,
) -> Result<StatusCode, AppError> {
    app.publishing.publish(request)?;
    Ok(StatusCode::NO_CONTENT)
}
