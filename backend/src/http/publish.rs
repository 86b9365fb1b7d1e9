//! Events from other programs.

use std::time::Instant;

use axum::extract::State;
use http::StatusCode;
use protocol::PublishRequest;

use super::request::{JsonBody, KeyHolder};
use crate::{
    app::SharedApp,
    audit::record::Trail,
    error::AppError,
    limits::{Tier, tiers},
};

/// The id of the key.
const API_KEY: &str = "publish";

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
    let (key, now) = (tiers::of_api_key(API_KEY), Instant::now());
    app.limits.take(Tier::Publishes, key, 1, now).await?;
    app.publishing.publish(request)?;
    Ok(StatusCode::NO_CONTENT)
}
