//! `devices/{deviceId}`: the actor's devices, and `push/key`.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{DeviceId, PushKey, PutDevice};

use super::{
    notifications::of,
    request::{JsonBody, Path},
};
use crate::{app::SharedApp, auth::actor::Actor, error::AppError, notifications::devices};

pub async fn push_key(State(app): State<SharedApp>) -> Result<Json<PushKey>, AppError> {
    Ok(Json(devices::push_key(of(&app)?)?))
}

pub async fn put(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<DeviceId>,
    JsonBody(request): JsonBody<PutDevice>,
) -> Result<StatusCode, AppError> {
    devices::put(of(&app)?, &actor, &id, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, AppError> {
    devices::delete(of(&app)?, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
