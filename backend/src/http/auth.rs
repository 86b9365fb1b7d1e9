//! `auth/…`: signing in, refreshing tokens, signing out.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{GuestRequest, LoginRequest, RefreshRequest, RegisterRequest, Tokens};

use super::{mail, request::JsonBody};
use crate::{
    accounts::{sessions, sessions::Device, sign_in},
    app::SharedApp,
    audit::record::Trail,
    auth::actor::Actor,
    error::AppError,
};

pub async fn register(
    State(app): State<SharedApp>,
    trail: Trail,
    device: Device,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<(StatusCode, Json<Tokens>), AppError> {
    let email = request.email.clone();
    if email.is_some() {
        mail::count_email(&app, &device).await?;
    }
    let tokens = sign_in::register(&app.accounts, request, device).await?;
    if let (Some(email), Some(emails)) = (email, &app.account_mail) {
        emails.address_given(&tokens.user.id, &email).await;
    }
    note(&app, &trail, &tokens);
    Ok((StatusCode::CREATED, Json(tokens)))
}

pub async fn login(
    State(app): State<SharedApp>,
    trail: Trail,
    device: Device,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Json<Tokens>, AppError> {
    let tokens = sign_in::log_in(&app.accounts, request, device).await?;
    note(&app, &trail, &tokens);
    Ok(Json(tokens))
}

pub async fn guest(
    State(app): State<SharedApp>,
    trail: Trail,
    device: Device,
    JsonBody(request): JsonBody<GuestRequest>,
) -> Result<(StatusCode, Json<Tokens>), AppError> {
    let tokens = sign_in::sign_in_as_guest(&app.accounts, request, device).await?;
    note(&app, &trail, &tokens);
    Ok((StatusCode::CREATED, Json(tokens)))
}

pub async fn refresh(
    State(app): State<SharedApp>,
    device: Device,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Json<Tokens>, AppError> {
    let tokens = sessions::refresh(&app.accounts, &request.refresh_token, device.address).await?;
    Ok(Json(tokens))
}

pub async fn logout(State(app): State<SharedApp>, actor: Actor) -> Result<StatusCode, AppError> {
    sessions::log_out(&app.accounts, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who signed in, and which session it made.
fn note(app: &SharedApp, trail: &Trail, tokens: &Tokens) {
    let actor = app.auth.authenticate(tokens.access_token.expose());
    trail.note(|record| match &actor {
        Ok(actor) => record.set_actor(actor),
        Err(_) => record.set_user(&tokens.user.id, tokens.user.guest),
    });
}
