//! `me`: the actor's own user.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{ListMyRooms, PasswordChange, RoomPage, SetAvatar, UpdateMe, UserBody};

use super::{
    mail,
    request::{JsonBody, Query},
};
use crate::{
    accounts::{avatar, profile, sessions::Device},
    app::SharedApp,
    audit::record::Trail,
    auth::actor::Actor,
    chat,
    completion::run_to_completion,
    error::AppError,
};

pub async fn read(State(app): State<SharedApp>, actor: Actor) -> Result<Json<UserBody>, AppError> {
    let user = profile::read(&app.accounts, &actor).await?;
    Ok(Json(UserBody { user }))
}

pub async fn update(
    State(app): State<SharedApp>,
    trail: Trail,
    actor: Actor,
    device: Device,
    JsonBody(request): JsonBody<UpdateMe>,
) -> Result<Json<UserBody>, AppError> {
    // Which fields, not what they hold.
    let fields = [
        ("displayName", request.display_name.is_some()),
        ("avatarUrl", request.avatar_url.is_some()),
        ("email", request.email.is_some()),
    ];
    let changed = fields.iter().filter(|(_, changed)| *changed);
    let changed: Vec<_> = changed.map(|(name, _)| *name).collect();
    trail.note(|record| record.set_detail("fields", changed));
    if matches!(request.email, Some(Some(_))) {
        mail::count_email(&app, &device).await?;
    }
    profile::allow_update(&app.accounts, &actor, &request, device.address).await?;
    // The former address is told, even if whoever changes it goes away.
    let user = run_to_completion(async move {
        let email = request.email.clone();
        let user = profile::update(&app.accounts, &actor.user_id, request).await?;
        if let (Some(email), Some(emails)) = (email, &app.account_mail) {
            emails
                .address_changed(&actor.user_id, email.as_deref())
                .await;
        }
        Ok(user)
    })
    .await?;
    Ok(Json(UserBody { user }))
}

pub async fn set_avatar(
    State(app): State<SharedApp>,
    actor: Actor,
    JsonBody(request): JsonBody<SetAvatar>,
) -> Result<Json<UserBody>, AppError> {
    let user = avatar::set(&app.accounts, &actor, request).await?;
    Ok(Json(UserBody { user }))
}

pub async fn delete(State(app): State<SharedApp>, actor: Actor) -> Result<StatusCode, AppError> {
    profile::delete(&app.accounts, &actor.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn change_password(
    State(app): State<SharedApp>,
    actor: Actor,
    device: Device,
    JsonBody(request): JsonBody<PasswordChange>,
) -> Result<StatusCode, AppError> {
    profile::change_password(&app.accounts, &actor, request, device.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn rooms(
    State(app): State<SharedApp>,
    actor: Actor,
    Query(request): Query<ListMyRooms>,
) -> Result<Json<RoomPage>, AppError> {
    Ok(Json(chat::rooms::mine(&app.chat, &actor, request).await?))
}
