//! Who acts. All of it comes from the access token, so that knowing who asks costs no I/O.

use axum::{extract::FromRequestParts, http::request::Parts};
use http::header::AUTHORIZATION;
use protocol::{ErrorCode, Role, SessionId, Timestamp, UserId};

use crate::{
    app::{App, SharedApp},
    error::AppError,
};

/// Who acts, as of the time when the access token was issued: name and role may be 15 minutes old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user_id: UserId,
    /// The sign-in that the user acts through.
    pub session_id: SessionId,
    /// The name that others read.
    pub display_name: String,
    /// What the user may do in the whole system.
    pub role: Role,
    /// Whether the user came without registering.
    pub guest: bool,
    /// When the session ends, unless it was refreshed since.
    pub session_expires_at: Timestamp,
}

/// Who acts with an access token: a check of its signature and a look into memory.
///
/// A connection outlives the token but not the session: who keeps a connection has to subscribe it to the session's
/// topic first and to look again behind that, or a revocation in between would miss it.
///
/// # Errors
/// `unauthenticated` if the token isn't ours, its time is over, or its session has ended.
pub fn authenticate(app: &App, token: &str) -> Result<Actor, AppError> {
    let actor = app
        .access_tokens
        .verify(token, Timestamp::now())
        .map_err(|error| AppError::new(ErrorCode::Unauthenticated, error.to_string()))?;
    if app.revocations.contains(&actor.session_id) {
        return Err(AppError::new(
            ErrorCode::Unauthenticated,
            "the session has ended",
        ));
    }
    Ok(actor)
}

impl FromRequestParts<SharedApp> for Actor {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        let token = bearer_of(parts);
        let missing = || {
            AppError::new(
                ErrorCode::Unauthenticated,
                "the header Authorization: Bearer is required",
            )
        };
        authenticate(app, token.ok_or_else(missing)?)
    }
}

/// What a request has behind `Bearer` in its header `Authorization`.
pub(crate) fn bearer_of(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?;
    // As UTF-8, for a key may hold more than ASCII.
    bearer(str::from_utf8(header.as_bytes()).ok()?)
}

/// The token of `Bearer <token>`; the scheme is without regard to case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_bearer_tokens_count() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearerabc"), None);
    }
}
