//! `rooms/{roomId}/members`: the members of a room.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{ListMembers, MemberBody, MemberPage, PutMember, RoomId, UserId};

use super::request::{JsonBody, Path, Query};
use crate::{
    app::SharedApp, audit::record::Trail, auth::actor::Actor, chat::members, error::AppError,
};

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room): Path<RoomId>,
    Query(request): Query<ListMembers>,
) -> Result<Json<MemberPage>, AppError> {
    Ok(Json(
        members::list(&app.chat, &actor, &room, request).await?,
    ))
}

pub async fn put(
    State(app): State<SharedApp>,
    trail: Trail,
    actor: Actor,
    Path((room, user)): Path<(RoomId, UserId)>,
    JsonBody(request): JsonBody<PutMember>,
) -> Result<Json<MemberBody>, AppError> {
    trail.note(|record| {
        if let Some(role) = request.role {
            record.set_detail("role", serde_json::json!(role));
        }
    });
    let member = members::put(&app.chat, &actor, &room, &user, request).await?;
    Ok(Json(MemberBody { member }))
}

pub async fn delete(
    State(app): State<SharedApp>,
    actor: Actor,
    Path((room, user)): Path<(RoomId, UserId)>,
) -> Result<StatusCode, AppError> {
    members::remove(&app.chat, &actor, &room, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
