//! `uploads`: files and images on their way in.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
};
use http::{StatusCode, header::CONTENT_TYPE};
use protocol::{AttachmentId, CreateUpload, MediaQuery, UploadBody, UploadCreated};

use super::{
    peer::network_key,
    request::{JsonBody, Path, Query},
};
use crate::{app::SharedApp, auth::actor::Actor, error::AppError, media};

/// How long the bytes of an upload may pause.
const PAUSE: Duration = Duration::from_secs(20);

pub async fn create(
    State(app): State<SharedApp>,
    actor: Actor,
    JsonBody(request): JsonBody<CreateUpload>,
) -> Result<(StatusCode, Json<UploadCreated>), AppError> {
    let created = media::create(app.media()?, &actor, request).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

pub async fn read(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<AttachmentId>,
) -> Result<Json<UploadBody>, AppError> {
    let upload = media::read(app.media()?, &actor, &id).await?;
    Ok(Json(UploadBody { upload }))
}

pub async fn complete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<AttachmentId>,
) -> Result<(StatusCode, Json<UploadBody>), AppError> {
    let upload = media::complete(app.media()?, &actor, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(UploadBody { upload })))
}

/// Takes the bytes themselves, by a URL of [`create`].
pub async fn put(
    State(app): State<SharedApp>,
    Path(id): Path<AttachmentId>,
    Query(signed): Query<MediaQuery>,
    request: Request,
) -> Result<StatusCode, AppError> {
    let network = network_key(request.extensions())?;
    let max = app.config.max_requests_per_address;
    let _unfinished = app.unfinished_requests.begin(network, max)?;
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = media::paced(request.into_body().into_data_stream(), PAUSE);
    media::receive(app.media()?, &id, &signed, content_type.as_deref(), body).await?;
    Ok(StatusCode::NO_CONTENT)
}
