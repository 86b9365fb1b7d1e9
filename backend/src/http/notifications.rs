//! `notifications`, and how the actor wants to be told of them: `me/preferences` and `rooms/{roomId}/preferences`.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{
    ListNotifications, NotificationId, NotificationPage, Preferences, RoomId, RoomPreferences,
    UpdatePreferences,
};

use super::request::{JsonBody, Path, Query};
use crate::{
    app::{App, SharedApp},
    auth::actor::Actor,
    error::AppError,
    notifications::{Notifications, listing, preferences},
};

/// Notifications, where there are tables to keep them.
pub(super) fn of(app: &App) -> Result<&Arc<Notifications>, AppError> {
    let found = app.notifications.as_ref();
    found.ok_or_else(|| AppError::not_found("route"))
}

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListNotifications>,
) -> Result<Json<NotificationPage>, AppError> {
    Ok(Json(listing::list(of(&app)?, &actor, request).await?))
}

pub async fn read(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(id): Path<NotificationId>,
) -> Result<StatusCode, AppError> {
    listing::read_one(of(&app)?, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn read_all(State(app): State<SharedApp>, actor: Actor) -> Result<StatusCode, AppError> {
    listing::read_all(of(&app)?, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn preferences(
    State(app): State<SharedApp>,
    actor: Actor,
) -> Result<Json<Preferences>, AppError> {
    Ok(Json(preferences::read(of(&app)?, &actor).await?))
}

pub async fn update_preferences(
    State(app): State<SharedApp>,
    actor: Actor,
    JsonBody(request): JsonBody<UpdatePreferences>,
) -> Result<Json<Preferences>, AppError> {
    Ok(Json(preferences::update(of(&app)?, &actor, request).await?))
}

pub async fn room_preferences(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
) -> Result<Json<RoomPreferences>, AppError> {
    Ok(Json(
        preferences::read_room(of(&app)?, &actor, &room).await?,
    ))
}

pub async fn put_room_preferences(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
    JsonBody(request): JsonBody<RoomPreferences>,
) -> Result<StatusCode, AppError> {
    preferences::put_room(of(&app)?, &actor, &room, request).await?;
    Ok(StatusCode::NO_CONTENT)
}
