//! The actor's own account: its profile, its password, and its deletion.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use protocol::{
    AttachmentId, Invalid, NotificationId, NotificationsRead, PasswordChange, Secret, Timestamp,
    UpdateMe, User, UserId,
};
use storage::{Credentials, Departure, NO_SIGN_IN, ProfileChange, StoreError};

use super::{
    Accounts, may_have_changed,
    sessions::{self, end_all},
};
use crate::{
    auth::actor::Actor,
    chat::members,
    completion::run_to_completion,
    error::AppError,
    limits::{Tier, network::Network, tiers},
    media_urls::avatar_upload,
    wire,
};

/// The actor's own user.
///
/// # Errors
/// `not_found` if it was deleted since the access token was issued.
pub async fn read(accounts: &Accounts, actor: &Actor) -> Result<User, AppError> {
    let user = accounts.user(&actor.user_id).await?;
    let user = user.ok_or_else(|| AppError::not_found("user"))?;
    Ok(User::clone(&user))
}

/// Says whether the actor may change their profile so. An e-mail address is changed only by who knows the password, since a
/// password is reset by it.
///
/// # Errors
/// `forbidden` for a guest's e-mail address, for a name that tokens of another application say, and if the password is wrong;
/// `rate_limited` beyond 60 changes a minute, 10 of the address an hour, and after five wrong passwords.
pub async fn allow_update(
    accounts: &Accounts,
    actor: &Actor,
    request: &UpdateMe,
    address: IpAddr,
) -> Result<(), AppError> {
    if actor.guest && request.email.is_some() {
        return Err(AppError::forbidden("guests have no e-mail address"));
    }
    if actor.external.is_some_and(|token| token.names_user) && request.display_name.is_some() {
        return Err(AppError::forbidden(
            "displayName: is what the application says that issued the access token",
        ));
    }
    let (who, now) = (tiers::of_user(&actor.user_id), Instant::now());
    if request.email.is_some() {
        accounts
            .limits
            .take(Tier::EmailChanges, who, 1, now)
            .await?;
    }
    accounts
        .limits
        .take(Tier::ProfileChanges, who, 1, now)
        .await?;
    if request.email.is_some() {
        let known = accounts.store.credentials_of(&actor.user_id).await;
        let known = known.map_err(gone)?;
        if known.password_hash.is_some() {
            let password = request.current_password.clone();
            let password = password.ok_or_else(|| {
                Invalid::new(
                    "currentPassword",
                    "is required to change the e-mail address",
                )
            })?;
            confirm_password(accounts, known, password, Network::from(address)).await?;
        }
    }
    Ok(())
}

/// Changes a profile.
///
/// # Errors
/// `not_found` if the user was deleted.
pub async fn update(
    accounts: &Arc<Accounts>,
    user: &UserId,
    request: UpdateMe,
) -> Result<User, AppError> {
    let change = ProfileChange {
        display_name: request.display_name,
        avatar_url: request.avatar_url,
        email: request.email,
    };
    let (accounts, user) = (accounts.clone(), user.clone());
    run_to_completion(async move { change_whole(&accounts, &user, change).await }).await
}

/// Changes a profile, and tells whoever has to know.
pub(super) async fn change_whole(
    accounts: &Accounts,
    user: &UserId,
    mut change: ProfileChange,
) -> Result<User, AppError> {
    let is_visible = change.display_name.is_some() || change.avatar_url.is_some();
    let before = match change.avatar_url {
        Some(_) => Some(accounts.store.user(user).await.map_err(gone)?.avatar_url),
        None => None,
    };
    // What is written back as it was read is no change.
    if let Some(Some(before)) = &before
        && let Some(Some(given)) = &change.avatar_url
        && *given == accounts.urls.avatar(before.clone())
    {
        change.avatar_url = None;
    }
    let updated = accounts.store.update_user(user, change).await;
    if may_have_changed(&updated) {
        if is_visible {
            accounts.publish_visible_change(user);
        } else {
            accounts.publish_change(user);
        }
    }
    let updated = updated.map_err(gone)?;
    if let Some(before) = before.filter(|before| *before != updated.avatar_url) {
        let_go_of_avatar(accounts, before.as_deref()).await;
    }
    Ok(wire::oneself(updated, &accounts.urls))
}

/// Changes the actor's password and ends all other sessions of theirs.
///
/// # Errors
/// `forbidden` for accounts without a password and if the present one is wrong, `conflict` if it was changed meanwhile, `rate_limited`
/// after five wrong ones, `unavailable` if too many are signing in.
pub async fn change_password(
    accounts: &Arc<Accounts>,
    actor: &Actor,
    request: PasswordChange,
    address: IpAddr,
) -> Result<(), AppError> {
    let known = accounts
        .store
        .credentials_of(&actor.user_id)
        .await
        .map_err(gone)?;
    if known.password_hash.is_none() {
        return Err(AppError::forbidden("the account has no password"));
    }
    let network = Network::from(address);
    let version = known.user.sign_in_version;
    confirm_password(accounts, known, request.current_password, network).await?;
    let hash = accounts
        .auth
        .passwords
        .ticket(network)?
        .hash(request.new_password)
        .await?;
    let accounts = accounts.clone();
    let (user_id, session_id) = (actor.user_id.clone(), actor.session_id.clone());
    run_to_completion(async move {
        // From here on no other session can be refreshed, and none be opened with the old password.
        let version = accounts
            .store
            .set_password(&user_id, version, hash)
            .await
            .map_err(gone)?;
        end_all(&accounts, user_id, Some(session_id), version).await;
        Ok(())
    })
    .await
}

/// Makes sure that who acts knows the present password.
async fn confirm_password(
    accounts: &Accounts,
    known: Credentials,
    password: Secret,
    network: Network,
) -> Result<(), AppError> {
    let mut ticket = accounts.auth.passwords.ticket(network)?;
    let attempts = &accounts.auth.sign_in_attempts;
    let attempt = attempts.begin(network, &known.user.username, Instant::now());
    let attempt = ticket.hold(attempt).await??;
    if !ticket.verify(password, known.password_hash).await? {
        attempt.failed(Instant::now());
        return Err(AppError::forbidden("currentPassword: is wrong"));
    }
    attempt.succeeded().await;
    Ok(())
}

/// Replaces a forgotten password, which was read with the user at `sign_in_version`, and ends all sessions.
///
/// # Errors
/// `conflict` if it was changed meanwhile, `not_found` for a user who is gone, `unavailable` if too many wait.
pub async fn reset_password(
    accounts: &Arc<Accounts>,
    user: &UserId,
    sign_in_version: u64,
    password: Secret,
    address: IpAddr,
) -> Result<(), AppError> {
    let network = Network::from(address);
    let hash = accounts
        .auth
        .passwords
        .ticket(network)?
        .hash(password)
        .await?;
    let (accounts, user) = (accounts.clone(), user.clone());
    run_to_completion(async move {
        let version = accounts
            .store
            .set_password(&user, sign_in_version, hash)
            .await
            .map_err(gone)?;
        end_all(&accounts, user, None, version).await;
        Ok(())
    })
    .await
}

/// Deletes an account: its sessions end, its rooms are told that it left, and its messages stay without its name.
///
/// # Errors
/// `not_found` if it was deleted before.
pub async fn delete(accounts: &Arc<Accounts>, user: &UserId) -> Result<(), AppError> {
    let (accounts, user) = (accounts.clone(), user.clone());
    run_to_completion(async move { delete_whole(&accounts, &user).await }).await
}

async fn delete_whole(accounts: &Arc<Accounts>, user: &UserId) -> Result<(), AppError> {
    // First, so that an account isn't deleted whose sessions can't be ended, or whose notifications, devices and addresses would stay.
    sessions::end_before(accounts, user, None, 0).await?;
    forget_notifications(accounts, user).await?;
    let now = Timestamp::now();
    let left = accounts.store.delete_user(user, now).await;
    if may_have_changed(&left) {
        accounts.publish_visible_change(user);
    }
    for Departure { room, removal } in left.map_err(gone)? {
        members::announce_removal(&accounts.chat, &room, user, removal);
    }
    // Only now: an account that couldn't be deleted keeps its picture.
    if let Some(uploads) = &accounts.uploads
        && let Err(error) = uploads.remove_avatars(user, now).await
    {
        tracing::warn!(%error, "the picture of a user who was just deleted stays until it is looked after");
    }
    // Again, and for good, because of sign-ins that were under way, and of messages.
    end_all(accounts, user.clone(), None, NO_SIGN_IN).await;
    if let Err(error) = forget_notifications(accounts, user).await {
        tracing::warn!(%error, "a notification of a user who was just deleted may stay until it is too old");
    }
    Ok(())
}

/// Forgets what a user was told, and what others were told of them by name.
async fn forget_notifications(accounts: &Accounts, user: &UserId) -> Result<(), StoreError> {
    let Some(notifications) = &accounts.notifications else {
        return Ok(());
    };
    notifications.delete_user(user).await?;
    loop {
        let (may_be_more, unread) = notifications.delete_caused_by(user).await?;
        let mut of_users: HashMap<UserId, Vec<NotificationId>> = HashMap::new();
        for (user, id) in unread {
            let ids = of_users.entry(user).or_default();
            ids.push(NotificationId::trusted(id));
        }
        for (user, ids) in of_users {
            let delivery = accounts.chat.delivery();
            delivery.notify(&user, &NotificationsRead { ids });
        }
        if !may_be_more {
            return Ok(());
        }
    }
}

/// Lets go of what was somebody's avatar until now, if it was an upload.
async fn let_go_of_avatar(accounts: &Accounts, avatar: Option<&str>) {
    let id: Option<AttachmentId> = avatar.and_then(avatar_upload);
    if let (Some(uploads), Some(id)) = (&accounts.uploads, id)
        && let Err(error) = uploads
            .remove(std::slice::from_ref(&id), Timestamp::now())
            .await
    {
        // The sweeper finds it.
        tracing::warn!(%error, "what was somebody's avatar stays for now");
    }
}

pub(super) fn gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => AppError::not_found("user"),
        error => error.into(),
    }
}
