//! `admin/keys`: the keys of other programs.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{ApiKeyCreated, ApiKeyId, ApiKeyPage, CreateApiKey};

use crate::{
    app::SharedApp,
    audit::record::Trail,
    error::AppError,
    http::request::{Administrator, JsonBody, Path},
};

pub async fn list(
    State(app): State<SharedApp>,
    _: Administrator,
) -> Result<Json<ApiKeyPage>, AppError> {
    Ok(Json(app.api_keys.list().await?))
}

pub async fn create(
    State(app): State<SharedApp>,
    trail: Trail,
    _: Administrator,
    JsonBody(request): JsonBody<CreateApiKey>,
) -> Result<(StatusCode, Json<ApiKeyCreated>), AppError> {
    let created = app.api_keys.create(request).await?;
    trail.note(|record| {
        let key = &created.key;
        record.set_target("key", key.id.as_str());
        record.set_detail("name", key.name.as_str());
        record.set_detail("scopes", key.scopes.clone());
    });
    Ok((StatusCode::CREATED, Json(created)))
}

pub async fn delete(
    State(app): State<SharedApp>,
    _: Administrator,
    Path(key): Path<ApiKeyId>,
) -> Result<StatusCode, AppError> {
    app.api_keys.revoke(key).await?;
    Ok(StatusCode::NO_CONTENT)
}
