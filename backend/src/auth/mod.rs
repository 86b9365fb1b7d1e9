//! Authentication: who acts, and how they prove it.

pub mod access_tokens;
pub mod actor;
pub mod external_tokens;
mod fair_queue;
pub(crate) mod jwt;
pub mod last_seen;
pub mod passwords;
pub mod refresh_tokens;
pub mod revocations;
pub mod revoked_sessions;
pub mod sign_in_attempts;
pub mod signing_secret;

use std::sync::Arc;

use protocol::Timestamp;

use self::{
    access_tokens::{AccessTokens, TokenError},
    actor::Actor,
    external_tokens::ExternalTokens,
    last_seen::LastSeenBuffer,
    passwords::Passwords,
    refresh_tokens::RefreshTokens,
    revocations::Revocations,
    sign_in_attempts::SignInAttempts,
    signing_secret::SigningSecret,
};
use crate::limits::Limits;

/// What authentication is made of.
pub struct Auth {
    /// Signs and checks access tokens.
    pub access_tokens: AccessTokens,
    /// Checks the tokens of another application, if they are accepted.
    pub external_tokens: Option<ExternalTokens>,
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
        external_tokens: Option<ExternalTokens>,
        limits: Arc<Limits>,
        revocations: Arc<Revocations>,
        last_seen: LastSeenBuffer,
    ) -> Self {
        Self {
            access_tokens: AccessTokens::new(secret),
            external_tokens,
            refresh_tokens: RefreshTokens::new(secret),
            passwords: Passwords::new(),
            sign_in_attempts: SignInAttempts::new(limits),
            revocations,
            last_seen,
        }
    }

    /// Who acts with an access token of this server's own: a check of its signature and a lookup in memory.
    ///
    /// A connection outlives the token but not the session. Whoever keeps a connection has to register its socket first
    /// and check [`Revocations::contains`] again after that, or it would miss a revocation in between.
    ///
    /// # Errors
    /// If the token isn't ours or has expired, or its session has ended.
    pub fn authenticate(&self, token: &str) -> Result<Actor, TokenError> {
        let actor = self.access_tokens.verify(token, Timestamp::now())?;
        if self.revocations.contains(&actor.session_id) {
            return Err(TokenError::Ended);
        }
        Ok(actor)
    }
}
