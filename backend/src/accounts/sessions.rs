//! Sessions: one sign-in of one device, from its first tokens to its end.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use protocol::{ErrorCode, Secret, Session, SessionId, SessionPage, Timestamp, Tokens, UserId};
use storage::{NewSession, Refresh, Refreshed, StoreError, StoredUser};

use super::{Accounts, may_have_changed};
use crate::{
    auth::{access_tokens::ACCESS_TOKEN_LIFE, actor::Actor, external_tokens::ExternalTokens},
    completion::run_to_completion,
    error::AppError,
    wire,
};

/// A session ends when it isn't refreshed for so long.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A guest who stays away for a day is gone.
const GUEST_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The pause before another attempt to end sessions.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What a request comes from.
#[derive(Debug, Clone)]
pub struct Device {
    /// What it calls itself.
    pub name: String,
    /// Its network address.
    pub address: IpAddr,
}

/// Opens a session. Beyond 20 of one user the one last seen earliest ends.
///
/// # Errors
/// `unauthenticated` if the account was deleted, or its password changed, since `user` was read; those of the store.
pub async fn open(
    accounts: &Accounts,
    user: StoredUser,
    device: Device,
) -> Result<Tokens, AppError> {
    let now = Timestamp::now();
    let id = SessionId::trusted(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()));
    let refresh = accounts.auth.refresh_tokens.first(&id, &user.id);
    let expires_at = expiry(&user, now);
    let session = NewSession {
        id: id.clone(),
        user_id: user.id.clone(),
        device: device.name,
        address: device.address.to_string(),
        refresh: refresh.hash,
        successor: refresh.successor_hash,
        expires_at,
        sign_in_version: user.sign_in_version,
    };
    let ended = accounts
        .sessions
        .create_session(session, now)
        .await
        .map_err(changed_meanwhile)?;
    for ended in ended {
        accounts.auth.revocations.publish(&ended);
    }
    // Whatever ends all sessions of the user ends those that it finds when the user's version has risen. Either it finds
    // this one, or the version had risen before this look.
    let same = match accounts.store.user(&user.id).await {
        Ok(now) if now.sign_in_version == user.sign_in_version => Ok(()),
        Ok(_) => Err(StoreError::NotFound),
        Err(error) => Err(error),
    };
    if let Err(error) = same {
        if matches!(error, StoreError::NotFound) {
            end(accounts, &user.id, &id).await?;
        }
        return Err(changed_meanwhile(error));
    }
    tokens(accounts, user, id, expires_at, refresh.token, now)
}

/// Exchanges a refresh token for new tokens. Within 30 s the same one gives the same successor again: its first
/// answer may have got lost. Later somebody else must have a copy, and the session ends.
///
/// # Errors
/// `unauthenticated` if the token isn't the session's last one, or the session has ended.
pub async fn refresh(
    accounts: &Accounts,
    token: &Secret,
    address: IpAddr,
) -> Result<Tokens, AppError> {
    let now = Timestamp::now();
    let presented = accounts.auth.refresh_tokens.read(token).ok_or_else(ended)?;
    let (user_id, session_id) = (presented.user_id, presented.session_id);
    if accounts.auth.revocations.contains(&session_id) {
        // The sessions' store may have lost its end with a server that failed.
        end(accounts, &user_id, &session_id).await?;
        return Err(ended());
    }
    let user = accounts.store.user(&user_id).await.map_err(ended_if_gone)?;
    accounts.notice_role(&user).await;
    let refresh = Refresh {
        user_id,
        session_id,
        presented: presented.hash,
        successor: presented.successor.hash,
        after: presented.successor.successor_hash,
        address: address.to_string(),
        expires_at: expiry(&user, now),
        sign_in_version: user.sign_in_version,
    };
    match accounts
        .sessions
        .refresh_session(refresh, now)
        .await
        .map_err(ended_if_gone)?
    {
        Refreshed::Rotated(session) | Refreshed::Repeated(session) => {
            let (id, expires_at) = (session.id, session.expires_at);
            tokens(
                accounts,
                user,
                id,
                expires_at,
                presented.successor.token,
                now,
            )
        }
        Refreshed::Reused(session) => {
            tracing::warn!(session = %session.id, "a refresh token was used twice; its session has ended");
            accounts.auth.revocations.publish(&session.id);
            Err(ended().concerning(Some(user.id), "refresh_token_reused"))
        }
    }
}

/// The sessions of the actor, the last seen first.
///
/// # Errors
/// Those of the store.
pub async fn list(accounts: &Accounts, actor: &Actor) -> Result<SessionPage, AppError> {
    list_of(accounts, actor, &actor.user_id).await
}

/// The sessions of a user, for an administrator.
///
/// # Errors
/// `not_found` if there is no such user.
pub async fn list_of_user(
    accounts: &Accounts,
    administrator: &Actor,
    user: &UserId,
) -> Result<SessionPage, AppError> {
    existing(accounts, user).await?;
    list_of(accounts, administrator, user).await
}

async fn list_of(
    accounts: &Accounts,
    actor: &Actor,
    user: &UserId,
) -> Result<SessionPage, AppError> {
    let now = Timestamp::now();
    let stored = accounts.sessions.sessions(user, now).await?;
    let mut sessions: Vec<_> = stored
        .into_iter()
        .map(|session| {
            let connected = accounts.user_sockets.has_session(&session.id);
            Session {
                current: session.id == actor.session_id,
                last_seen_at: if connected { now } else { session.last_seen_at },
                id: session.id,
                device: session.device,
                address: session.address,
                created_at: session.created_at,
            }
        })
        .collect();
    sessions.sort_by_key(|session| std::cmp::Reverse(session.last_seen_at));
    Ok(SessionPage {
        sessions,
        has_more: false,
    })
}

/// Ends one of the actor's sessions.
///
/// # Errors
/// `not_found` if it isn't one of theirs, or has ended.
pub async fn end_one(
    accounts: &Accounts,
    actor: &Actor,
    session: &SessionId,
) -> Result<(), AppError> {
    end_one_of_user(accounts, &actor.user_id, session).await
}

/// Ends all sessions of the actor but the one that asks, in one step: none ends, or all of them. Tokens of another
/// application have no sessions here, and all that were issued until now end, the one that asks included.
///
/// # Errors
/// Those of the store.
pub async fn end_others(accounts: &Arc<Accounts>, actor: &Actor) -> Result<(), AppError> {
    if actor.external.is_some() {
        return end_external_tokens(accounts, &actor.user_id).await;
    }
    end_before(accounts, &actor.user_id, Some(&actor.session_id), 0).await?;
    Ok(())
}

/// Ends one session of a user, for an administrator.
///
/// # Errors
/// `not_found` if it isn't one of theirs, or has ended.
pub async fn end_one_of_user(
    accounts: &Accounts,
    user: &UserId,
    session: &SessionId,
) -> Result<(), AppError> {
    if end(accounts, user, session).await? {
        Ok(())
    } else {
        Err(AppError::not_found("session"))
    }
}

/// Ends all sessions of a user, for an administrator, and their tokens of another application.
///
/// # Errors
/// `not_found` if there is no such user.
pub async fn end_all_of_user(accounts: &Arc<Accounts>, user: &UserId) -> Result<(), AppError> {
    let known = existing(accounts, user).await?;
    end_before(accounts, user, None, 0).await?;
    if known.external.is_some() {
        end_external_tokens(accounts, user).await?;
    }
    Ok(())
}

async fn existing(accounts: &Accounts, user: &UserId) -> Result<StoredUser, AppError> {
    match accounts.store.user(user).await {
        Err(StoreError::NotFound) => Err(AppError::not_found("user")),
        user => Ok(user?),
    }
}

/// Ends a user's tokens of another application, on every instance. Tokens tell the second in which they were issued, by the
/// issuer's clock, which may be ahead of this one by the leeway; those of this second end too.
async fn end_external_tokens(accounts: &Arc<Accounts>, user: &UserId) -> Result<(), AppError> {
    let (accounts, user) = (accounts.clone(), user.clone());
    run_to_completion(async move {
        let next_second = (Timestamp::now().unix_ms() / 1_000 + 1) * 1_000;
        let tokens = accounts.auth.external_tokens.as_ref();
        let leeway = tokens.map_or(Duration::ZERO, ExternalTokens::leeway);
        let valid_from = Timestamp::from_unix_ms(next_second + leeway.as_millis() as i64);
        let ended = accounts.store.end_external_tokens(&user, valid_from).await;
        if may_have_changed(&ended) {
            accounts.publish_change(&user);
        }
        Ok(ended?)
    })
    .await
}

/// Ends the session that asks; once it has ended already, there is nothing left to do.
///
/// # Errors
/// `forbidden` with the token of another application, where its session is; those of the store.
pub async fn log_out(accounts: &Accounts, actor: &Actor) -> Result<(), AppError> {
    if actor.external.is_some() {
        return Err(AppError::forbidden(
            "the access token is of another application: sign out there",
        ));
    }
    end(accounts, &actor.user_id, &actor.session_id).await?;
    Ok(())
}

/// Ends a session, and says whether it was a good one.
async fn end(accounts: &Accounts, user: &UserId, session: &SessionId) -> Result<bool, StoreError> {
    match accounts
        .sessions
        .revoke_session(user, session, Timestamp::now())
        .await
    {
        Ok(()) => {
            accounts.auth.revocations.publish(session);
            Ok(true)
        }
        Err(StoreError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the sessions of a user but for `except`, all of which a version has made bad already, on every instance. While
/// that can't be written it is tried again, for as long as access tokens of theirs are good.
pub async fn end_all(
    accounts: &Arc<Accounts>,
    user: UserId,
    except: Option<SessionId>,
    sign_in_version: u64,
) {
    let first = end_before(accounts, &user, except.as_ref(), sign_in_version).await;
    let Err(error) = first else { return };
    tracing::warn!(%error, "sessions couldn't be ended; trying again");
    let accounts = accounts.clone();
    tokio::spawn(async move {
        let began = Instant::now();
        while began.elapsed() < ACCESS_TOKEN_LIFE {
            tokio::time::sleep(RETRY_PAUSE).await;
            let again = end_before(&accounts, &user, except.as_ref(), sign_in_version).await;
            if again.is_ok() {
                return;
            }
        }
        tracing::error!(
            "sessions couldn't be ended; their connections go on until they are checked"
        );
    });
}

/// Ends the sessions of a user but for `except`; from here on only those of `sign_in_version` are opened.
///
/// # Errors
/// Those of the store.
pub async fn end_before(
    accounts: &Accounts,
    user: &UserId,
    except: Option<&SessionId>,
    sign_in_version: u64,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let ended = accounts
        .sessions
        .revoke_sessions(user, except, sign_in_version, now)
        .await?;
    for session in ended {
        accounts.auth.revocations.publish(&session);
    }
    Ok(())
}

fn tokens(
    accounts: &Accounts,
    user: StoredUser,
    session_id: SessionId,
    session_expires_at: Timestamp,
    refresh_token: Secret,
    now: Timestamp,
) -> Result<Tokens, AppError> {
    let actor = Actor {
        user_id: user.id.clone(),
        session_id,
        display_name: user.display_name.clone(),
        role: user.role,
        guest: user.guest,
        session_expires_at,
        external: None,
    };
    Ok(Tokens {
        user: wire::oneself(user, &accounts.urls),
        access_token: accounts
            .auth
            .access_tokens
            .issue(&actor, now)
            .map_err(AppError::internal)?,
        refresh_token,
        expires_in: ACCESS_TOKEN_LIFE.as_secs() as u32,
    })
}

fn expiry(user: &StoredUser, now: Timestamp) -> Timestamp {
    let life = if user.guest { GUEST_LIFE } else { LIFE };
    now.plus(life)
}

fn ended() -> AppError {
    AppError::new(
        ErrorCode::Unauthenticated,
        "the refresh token is not valid; sign in again",
    )
}

/// The password isn't the one any more that was checked, or there is no such user.
fn changed_meanwhile(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => AppError::new(
            ErrorCode::Unauthenticated,
            "the account has changed; sign in again",
        ),
        error => error.into(),
    }
}

fn ended_if_gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => ended(),
        error => error.into(),
    }
}
