//! Sessions: one sign-in of one device, from its first tokens to its end.

use std::{net::IpAddr, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use protocol::{ErrorCode, Secret, Session, SessionId, SessionPage, Timestamp, Tokens};
use storage::{NewSession, Refresh, Refreshed, StoreError, StoredUser};

use crate::{
    access_tokens::ACCESS_TOKEN_LIFE,
    actor::Actor,
    app::App,
    chat::{topics, wire},
    error::AppError,
    revocations::revoke,
};

/// A session ends when it isn't refreshed for so long.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A guest who stays away for a day is gone.
const GUEST_LIFE: Duration = Duration::from_secs(24 * 3_600);

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
/// Those of the store.
pub async fn open(app: &App, user: StoredUser, device: Device) -> Result<Tokens, AppError> {
    let now = Timestamp::now();
    let id = SessionId::trusted(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()));
    let refresh = app.refresh_tokens.first(&id);
    let session = NewSession {
        id: id.clone(),
        user_id: user.id.clone(),
        device: device.name,
        address: device.address.to_string(),
        refresh: refresh.hash,
        expires_at: end(&user, now),
    };
    for ended in app.store.create_session(session, now).await? {
        revoke(app, &ended);
    }
    tokens(app, user, id, refresh.token, now)
}

/// Exchanges a refresh token for new tokens. Within 30 s the same one gives the same successor again: its first
/// answer may have got lost. Later somebody else must have a copy, and the session ends.
///
/// # Errors
/// `unauthenticated` if the token isn't the session's last one, or the session has ended.
pub async fn refresh(app: &App, token: &Secret, address: IpAddr) -> Result<Tokens, AppError> {
    let now = Timestamp::now();
    let presented = app.refresh_tokens.read(token).ok_or_else(ended)?;
    let session = app
        .store
        .session(&presented.session_id, now)
        .await
        .map_err(ended_if_gone)?;
    let user = app
        .store
        .user(&session.user_id)
        .await
        .map_err(ended_if_gone)?;
    let refresh = Refresh {
        session_id: session.id,
        presented: presented.hash,
        successor: presented.successor.hash,
        address: address.to_string(),
        expires_at: end(&user, now),
    };
    match app
        .store
        .refresh_session(refresh, now)
        .await
        .map_err(ended_if_gone)?
    {
        Refreshed::Rotated(session) | Refreshed::Repeated(session) => {
            tokens(app, user, session.id, presented.successor.token, now)
        }
        Refreshed::Reused(session) => {
            tracing::warn!(session = %session.id, "a refresh token was used twice; its session has ended");
            revoke(app, &session.id);
            Err(ended())
        }
    }
}

/// The sessions of the actor, the last seen first.
///
/// # Errors
/// Those of the store.
pub async fn list(app: &App, actor: &Actor) -> Result<SessionPage, AppError> {
    let now = Timestamp::now();
    let stored = app.store.sessions(&actor.user_id, now).await?;
    let mut sessions: Vec<_> = stored
        .into_iter()
        .map(|session| {
            let connected = app.hub.subscribers(&topics::session(&session.id)) > 0;
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
pub async fn end_one(app: &App, actor: &Actor, session: &SessionId) -> Result<(), AppError> {
    match app
        .store
        .revoke_session(&actor.user_id, session, Timestamp::now())
        .await
    {
        Ok(()) => {
            revoke(app, session);
            Ok(())
        }
        Err(StoreError::NotFound) => Err(AppError::not_found("session")),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session that asks; once it has ended already, there is nothing left to do.
///
/// # Errors
/// Those of the store.
pub async fn log_out(app: &App, actor: &Actor) -> Result<(), AppError> {
    match end_one(app, actor, &actor.session_id).await {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
        ended => ended,
    }
}

fn tokens(
    app: &App,
    user: StoredUser,
    session_id: SessionId,
    refresh_token: Secret,
    now: Timestamp,
) -> Result<Tokens, AppError> {
    let actor = Actor {
        user_id: user.id.clone(),
        session_id,
        display_name: user.display_name.clone(),
        role: user.role,
        guest: user.guest,
    };
    Ok(Tokens {
        user: wire::oneself(user),
        access_token: app
            .access_tokens
            .issue(&actor, now)
            .map_err(AppError::internal)?,
        refresh_token,
        expires_in: ACCESS_TOKEN_LIFE.as_secs() as u32,
    })
}

fn end(user: &StoredUser, now: Timestamp) -> Timestamp {
    let life = if user.guest { GUEST_LIFE } else { LIFE };
    Timestamp::from_unix_ms(now.unix_ms() + life.as_millis() as i64)
}

fn ended() -> AppError {
    AppError::new(
        ErrorCode::Unauthenticated,
        "the refresh token is not valid; sign in again",
    )
}

fn ended_if_gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => ended(),
        error => error.into(),
    }
}
