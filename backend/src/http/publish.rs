//! Events from other programs.

use axum::extract::State;
use http::StatusCode;
use protocol::PublishRequest;

use super::request::{JsonBody, KeyHolder};
use crate::{app::SharedApp, audit::record::Trail, error::AppError};

/// `POST /api/v1/publish`
pub async fn publish(
    State(app): State<SharedApp>,
    trail: Trail,
    _: KeyHolder,
    JsonBody(request): JsonBody<PublishRequest>,
) -> Result<StatusCode, AppError> {
    trail.note(|record| {
        record.set_detail("event", request.event.as_str());
        record.set_detail("namespace", request.namespace.as_str());
    });
    app.publishing.publish(request)?;
    Ok(StatusCode::NO_CONTENT)
}
