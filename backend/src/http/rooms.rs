//! `rooms`: creating, finding, changing and deleting rooms.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{CreateRoom, ListRooms, RoomBody, RoomId, RoomPage, UpdateRoom};

use super::request::{JsonBody, Path, Query};
use crate::{
    app::SharedApp, audit::record::Trail, auth::actor::Actor, chat::rooms, error::AppError,
};

pub async fn create(
    State(app): State<SharedApp>,
    trail: Trail,
    actor: Actor,
    JsonBody(request): JsonBody<CreateRoom>,
) -> Result<(StatusCode, Json<RoomBody>), AppError> {
    let room = rooms::create(&app.chat, &actor, request).await?;
    trail.note(|record| record.set_target("room", room.id.as_str()));
    Ok((StatusCode::CREATED, Json(RoomBody { room })))
}

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListRooms>,
) -> Result<Json<RoomPage>, AppError> {
    Ok(Json(rooms::list(&app.chat, &actor, request).await?))
}

pub async fn read(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
) -> Result<Json<RoomBody>, AppError> {
    let room = rooms::get(&app.chat, &actor, &room).await?;
    Ok(Json(RoomBody { room }))
}

pub async fn update(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
    JsonBody(request): JsonBody<UpdateRoom>,
) -> Result<Json<RoomBody>, AppError> {
    let room = rooms::update(&app.chat, &actor, &room, request).await?;
    Ok(Json(RoomBody { room }))
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
) -> Result<StatusCode, AppError> {
    rooms::delete(&app.chat, &actor, &room).await?;
    Ok(StatusCode::NO_CONTENT)
}
