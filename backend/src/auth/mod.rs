//! Authentication: who acts, and how they prove it.

pub mod access_tokens;
pub mod actor;
mod fair_queue;
pub mod last_seen;
pub mod passwords;
pub mod refresh_tokens;
pub mod revocations;
pub mod revoked_sessions;
pub mod sign_in_attempts;
pub mod signing_secret;

use std::sync::Arc;

use protocol::{ErrorCode, Timestamp};

use self::{
    access_tokens::AccessTokens, actor::Actor, last_seen::LastSeenBuffer, passwords::Passwords,
    refresh_tokens::RefreshTokens, revocations::Revocations, sign_in_attempts::SignInAttempts,
    signing_secret::SigningSecret,
};
use crate::{error::AppError, limits::Limits};

/// What authentication is made of.
pub struct Auth {
    /// Signs and checks access tokens.
    pub access_tokens: AccessTokens,
    /// Makes and recognises refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Limits guessing of passwords.
    pub sign_in_attempts: SignInAttempts,
    /// Sessions that ended while their access tokens are still valid.
    pub revocations: Arc<Revocations>,
    /// When sessions were last seen, until that is written.
    pub last_seen: LastSeenBuffer,
}

impl Auth {
    /// Authentication with keys derived from `secret`.
    pub fn new(
        secret: &SigningSecret,
        limits: Arc<Limits>,
        revocations: Arc<Revocations>,
        last_seen: LastSeenBuffer,
    ) -> Self {
        Self {
            access_tokens: AccessTokens::new(secret),
            refresh_tokens: RefreshTokens::new(secret),
            passwords: Passwords::new(),
            sign_in_attempts: SignInAttempts::new(limits),
            revocations,
            last_seen,
        }
    }

    /// Who acts with an access token: a check of its signature and a lookup in memory.
    ///
    /// A connection outlives the token but not the session. Whoever keeps a connection has to register its socket first
    /// and check [`Revocations::contains`] again after that, or it would miss a revocation in between.
    ///
    /// # Errors
    /// `unauthenticated` if the token isn't ours or has expired, or its session has ended.
    pub fn authenticate(&self, token: &str) -> Result<Actor, AppError> {
        let actor = self
            .access_tokens
            .verify(token, Timestamp::now())
            .map_err(|error| AppError::new(ErrorCode::Unauthenticated, error.to_string()))?;
        if self.revocations.contains(&actor.session_id) {
            return Err(AppError::new(
                ErrorCode::Unauthenticated,
                "the session has ended",
            ));
        }
        Ok(actor)
    }
}
