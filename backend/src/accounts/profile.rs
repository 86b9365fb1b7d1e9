//! One's own account: what it shows, its password, and its end.

use std::{net::IpAddr, time::Instant};

use protocol::{PasswordChange, Timestamp, UpdateMe, User, UserId};
use storage::{Departure, NO_SIGN_IN, ProfileChange, StoreError};

use super::sessions::{self, end_all};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::{self, Control},
    chat::{members, wire},
    completion::to_the_end,
    error::AppError,
    limits::Action,
    network::Network,
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
/// `forbidden` for a guest's e-mail address, `rate_limited` beyond 60 changes a minute, and 10 of the address an hour.
pub async fn update(app: &SharedApp, actor: &Actor, request: UpdateMe) -> Result<User, AppError> {
    if actor.guest && request.email.is_some() {
        return Err(AppError::forbidden("guests have no e-mail address"));
    }
    let (who, now) = (actor.user_id.as_str(), Instant::now());
    if request.email.is_some() {
        app.limits.take(Action::EmailChange, who, 1, now).await?;
    }
    app.limits.take(Action::ProfileChange, who, 1, now).await?;
    let change = ProfileChange {
        display_name: request.display_name,
        avatar_url: request.avatar_url,
        email: request.email,
    };
    let (app, user) = (app.clone(), actor.user_id.clone());
    to_the_end(async move {
        let user = app.store.update_user(&user, change).await.map_err(gone)?;
        bus::tell_everybody(&app, Control::UserChanged(user.id.clone()));
        Ok(wire::oneself(user))
    })
    .await
}

/// Changes the actor's password and ends all other sessions of theirs.
///
/// # Errors
/// `forbidden` for guests and if the present password is wrong, `conflict` if it was changed meanwhile, `rate_limited`
/// after five wrong ones, `unavailable` if too many are signing in.
pub async fn change_password(
    app: &SharedApp,
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
    let (app, version) = (app.clone(), known.user.sign_in_version);
    let (user_id, session_id) = (actor.user_id.clone(), actor.session_id.clone());
    // To its end, whatever becomes of the one who asked.
    let changing = tokio::spawn(async move {
        // From here on no other session can be refreshed, and none be opened with the old password.
        let version = app
            .store
            .set_password(&user_id, version, hash)
            .await
            .map_err(gone)?;
        end_all(&app, user_id, Some(session_id), version).await;
        Ok(())
    });
    changing.await.map_err(AppError::internal)?
}

/// Deletes an account: its sessions end, its rooms learn that it left, and what it wrote stays without its name.
///
/// # Errors
/// `not_found` if it was deleted before.
pub async fn delete(app: &SharedApp, user: &UserId) -> Result<(), AppError> {
    let (app, user) = (app.clone(), user.clone());
    to_the_end(async move { delete_whole(&app, &user).await }).await
}

async fn delete_whole(app: &SharedApp, user: &UserId) -> Result<(), AppError> {
    // First, so that an account isn't deleted whose sessions can't be ended.
    sessions::end_before(app, user, None, 0).await?;
    let now = Timestamp::now();
    let left = app.store.delete_user(user, now).await.map_err(gone)?;
    bus::tell_everybody(app, Control::UserChanged(user.clone()));
    for Departure { room, removal } in left {
        members::tell_removal(app, &room, user, removal);
    }
    // Again, and for good, for a sign-in that was under way.
    end_all(app, user.clone(), None, NO_SIGN_IN).await;
    Ok(())
}

fn gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => AppError::not_found("user"),
        error => error.into(),
    }
}
