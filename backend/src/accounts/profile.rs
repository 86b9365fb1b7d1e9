//! One's own account: what it shows, its password, and its end.

use std::{net::IpAddr, time::Instant};

use protocol::{PasswordChange, Timestamp, UpdateMe, User, UserId};
use storage::{ProfileChange, StoreError};

use crate::{
    actor::Actor,
    app::App,
    bus::{self, Control},
    chat::{members, wire},
    error::AppError,
    network::Network,
    revocations::revoke,
};

/// The actor's own user.
///
/// # Errors
/// `not_found` if it was deleted since the access token was issued.
pub async fn read(app: &App, actor: &Actor) -> Result<User, AppError> {
    let user = app.store.user(&actor.user_id).await.map_err(gone)?;
    Ok(wire::oneself(user))
}

/// Changes what the actor's user shows.
///
/// # Errors
/// `conflict` if the e-mail address is taken, `forbidden` for a guest's e-mail address.
pub async fn update(app: &App, actor: &Actor, request: UpdateMe) -> Result<User, AppError> {
    if actor.guest && request.email.is_some() {
        return Err(AppError::forbidden("guests have no e-mail address"));
    }
    let change = ProfileChange {
        display_name: request.display_name,
        avatar_url: request.avatar_url,
        email: request.email,
    };
    let user = app
        .store
        .update_user(&actor.user_id, change)
        .await
        .map_err(gone)?;
    bus::tell_everybody(app, Control::UserChanged(user.id.clone()));
    Ok(wire::oneself(user))
}

/// Changes the actor's password and ends all other sessions of theirs.
///
/// # Errors
/// `forbidden` for guests and if the present password is wrong, `rate_limited` after five wrong ones, `unavailable`
/// if too many are signing in.
pub async fn change_password(
    app: &App,
    actor: &Actor,
    request: PasswordChange,
    address: IpAddr,
) -> Result<(), AppError> {
    let known = app
        .store
        .credentials_of(&actor.user_id)
        .await
        .map_err(gone)?;
    if known.password_hash.is_none() {
        return Err(AppError::forbidden("guests have no password"));
    }
    let network = Network::from(address);
    let mut place = app.passwords.place(network)?;
    let attempt = app
        .limits
        .attempt(network, &known.user.username, Instant::now());
    let attempt = place.hold(attempt).await??;
    if !place
        .verify(request.current_password, known.password_hash)
        .await?
    {
        attempt.failed(Instant::now());
        return Err(AppError::forbidden("currentPassword: is wrong"));
    }
    attempt.succeeded().await;
    let hash = app
        .passwords
        .place(network)?
        .hash(request.new_password)
        .await?;
    app.store
        .set_password(&actor.user_id, hash)
        .await
        .map_err(gone)?;
    let now = Timestamp::now();
    for session in app
        .sessions
        .revoke_sessions(&actor.user_id, Some(&actor.session_id), now)
        .await?
    {
        revoke(app, &session);
    }
    Ok(())
}

/// Deletes an account: its sessions end, its rooms learn that it left, and what it wrote stays without its name.
///
/// # Errors
/// `not_found` if it was deleted before.
pub async fn delete(app: &App, user: &UserId) -> Result<(), AppError> {
    // First, so that an account isn't deleted whose sessions can't be ended.
    end_sessions(app, user).await?;
    let now = Timestamp::now();
    let left = app.store.delete_user(user, now).await.map_err(gone)?;
    bus::tell_everybody(app, Control::UserChanged(user.clone()));
    for room in &left {
        members::tell(app, room, user, None);
    }
    // Again, for a sign-in that was under way. Such a session can't be refreshed without its user.
    if let Err(error) = end_sessions(app, user).await {
        tracing::warn!(%error, "a session may outlive its deleted account for as long as an access token");
    }
    Ok(())
}

async fn end_sessions(app: &App, user: &UserId) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for session in app.sessions.revoke_sessions(user, None, now).await? {
        revoke(app, &session);
    }
    Ok(())
}

fn gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => AppError::not_found("user"),
        error => error.into(),
    }
}
