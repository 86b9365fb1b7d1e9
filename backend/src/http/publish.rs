//! Events from other programs.

use std::time::Instant;

use axum::extract::State;
use http::StatusCode;
use protocol::PublishRequest;

use super::request::JsonBody;
use crate::{
    app::SharedApp,
    audit::record::Trail,
    error::AppError,
    limits::{Tier, tiers},
    publish::api_keys::KeyHolder,
};

/// `POST /api/v1/publish`
pub async fn publish(
    State(app): State<SharedApp>,
    trail: Trail,
    holder: KeyHolder,
    JsonBody(request): JsonBody<PublishRequest>,
) -> Result<StatusCode, AppError> {
    trail.note(|record| {
        record.set_detail("key", holder.id.as_str());
        record.set_detail("event", request.event.as_str());
        record.set_detail("namespace", request.namespace.as_str());
    });
    if !holder.may_publish(&request.namespace) {
        return Err(AppError::forbidden(
            "the API key isn't good for this namespace",
        ));
    }
    let (key, now) = (tiers::of_api_key(holder.id.as_str()), Instant::now());
    app.limits.take(Tier::Publishes, key, 1, now).await?;
    app.publishing.publish(request)?;
    Ok(StatusCode::NO_CONTENT)
}
