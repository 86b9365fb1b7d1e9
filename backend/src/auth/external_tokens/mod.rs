//! Tokens that another application issued: JSON Web Tokens signed with a secret that this server shares, or with keys that
//! the issuer publishes. Checking one takes microseconds and no I/O once its key is known.
//!
//! What must stay true: only algorithms of the configured kind are accepted, each with keys of its own kind; a token
//! is refused for good only if no answer that is still to come could make it good.

mod claims;
mod endpoint;
mod key_set;
mod key_source;

use std::{sync::Arc, time::Duration};

use circuit_breaker::Breaker;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode, errors::ErrorKind};
use protocol::{ErrorBody, ErrorCode};

pub(crate) use self::claims::token_id;
pub use self::claims::{ExternalIdentity, external_user_id};
pub use self::key_source::KeySourceStats;
use self::{
    claims::{Claims, ClaimsReader},
    endpoint::Endpoint,
    key_set::Lookup,
    key_source::{KeyError, KeySource},
};
use super::jwt::install_cryptography;
use crate::{
    config::{ExternalKeys, ExternalTokensConfig},
    error::AppError,
};

/// Checks the tokens of another application.
pub struct ExternalTokens {
    keys: Keys,
    claims: ClaimsReader,
    issuer: Option<String>,
    /// One for each accepted algorithm: the library accepts several in one only if one key serves them all.
    validations: Vec<Validation>,
}

enum Keys {
    Shared(DecodingKey),
    Published(Arc<KeySource>),
}

/// Why a token isn't accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExternalTokenError {
    /// It isn't a token at all.
    #[error("the access token isn't valid: it is no signed JSON Web Token")]
    Malformed,
    /// Another algorithm, or none.
    #[error("the access token isn't valid: its algorithm (alg) must be {0}")]
    Algorithm(&'static str),
    /// It wants what isn't known to be understood.
    #[error("the access token isn't valid: its critical extensions (crit) aren't supported")]
    Critical,
    /// Which of several keys, it doesn't say.
    #[error(
        "the access token isn't valid: it doesn't name its key (kid), and its issuer has several"
    )]
    NoKeyNamed,
    /// The issuer has no such key.
    #[error("the access token isn't valid: its issuer doesn't publish the key (kid) that it names")]
    UnknownKey,
    /// The issuer's keys can't be read now.
    #[error("the keys of the access token's issuer can't be read at the moment; try again")]
    KeysUnavailable,
    /// Somebody else signed it, or changed it.
    #[error("the access token isn't valid: its signature doesn't fit its key")]
    Signature,
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// It will be good.
    #[error("the access token isn't valid yet (nbf or iat): compare the clocks")]
    NotYetValid,
    /// Another issuer.
    #[error("the access token isn't valid: its issuer (iss) isn't the one that this server trusts")]
    Issuer,
    /// For another application.
    #[error("the access token isn't valid: its audience (aud) isn't this server")]
    Audience,
    /// Its claims are no object, or one has a form that claims can't have.
    #[error("the access token isn't valid: its claims can't be read")]
    Claims,
    /// A claim is missing or has the wrong form.
    #[error("the access token isn't valid: its claim {0} is missing or has the wrong form")]
    Claim(String),
}

impl From<ExternalTokenError> for AppError {
    fn from(error: ExternalTokenError) -> Self {
        match error {
            ExternalTokenError::KeysUnavailable => {
                ErrorBody::new(ErrorCode::Unavailable, error.to_string())
                    .retry_after_ms(5_000)
                    .into()
            }
            error => Self::new(ErrorCode::Unauthenticated, error.to_string()),
        }
    }
}

impl From<jsonwebtoken::errors::Error> for ExternalTokenError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        match error.into_kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                Self::Claim(claim)
            }
            // The header was readable.
            ErrorKind::Json(_) => Self::Claims,
            _ => Self::Malformed,
        }
    }
}

impl ExternalTokens {
    /// As configured. The issuer's keys are read by [`ExternalTokens::run`], through the circuit of `breaker` if there are any.
    pub fn new(config: &ExternalTokensConfig, breaker: impl FnOnce() -> Arc<Breaker>) -> Self {
        install_cryptography();
        let (keys, algorithms): (_, &[Algorithm]) = match &config.keys {
            ExternalKeys::Shared(secret) => (
                Keys::Shared(DecodingKey::from_secret(secret.expose().as_bytes())),
                &[Algorithm::HS256],
            ),
            ExternalKeys::Published(url) => {
                let endpoint = Endpoint::new(url.clone(), config.tls_ca_file.clone());
                (
                    Keys::Published(Arc::new(KeySource::new(endpoint, breaker()))),
                    &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
                )
            }
        };
        let validation = |algorithm: &Algorithm| {
            let mut validation = Validation::new(*algorithm);
            let mut required = vec!["exp"];
            validation.leeway = config.leeway.as_secs();
            validation.validate_nbf = true;
            if let Some(issuer) = &config.issuer {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            // Without one, a token that names an audience isn't for this server.
            if !config.audiences.is_empty() {
                validation.set_audience(&config.audiences);
                required.push("aud");
            }
            validation.set_required_spec_claims(&required);
            validation
        };
        Self {
            keys,
            claims: ClaimsReader::new(config),
            issuer: config.issuer.clone(),
            validations: algorithms.iter().map(validation).collect(),
        }
    }

    /// Keeps the issuer's keys fresh, for ever.
    pub async fn run(&self) {
        if let Keys::Published(source) = &self.keys {
            source.run().await;
        }
    }

    /// How reading the issuer's keys goes, if it publishes any.
    pub fn key_source(&self) -> Option<KeySourceStats> {
        match &self.keys {
            Keys::Shared(_) => None,
            Keys::Published(source) => Some(source.stats()),
        }
    }

    /// Who acts with a token. Waits for seconds if its key isn't known and may be a new one.
    ///
    /// # Errors
    /// If it isn't good, or the issuer's keys can't be read to find that out.
    pub async fn verify(&self, token: &str) -> Result<ExternalIdentity, ExternalTokenError> {
        if let Some(identity) = self.verify_with_known_key(token)? {
            return Ok(identity);
        }
        let Keys::Published(source) = &self.keys else {
            return Err(ExternalTokenError::UnknownKey);
        };
        let (header, validation) = self.header(token)?;
        let key = source
            .wait_for(header.key_id.as_deref(), validation.algorithms[0])
            .await
            .map_err(|error| match error {
                KeyError::Unknown => ExternalTokenError::UnknownKey,
                KeyError::Unavailable => ExternalTokenError::KeysUnavailable,
            })?;
        let claims = decode::<Claims>(token, &key, validation)?;
        self.claims.identity(&claims.claims)
    }

    /// Who acts with a token, without any I/O; `None` if its key has to be read first.
    ///
    /// # Errors
    /// If it isn't good, whatever its key may be.
    pub fn verify_with_known_key(
        &self,
        token: &str,
    ) -> Result<Option<ExternalIdentity>, ExternalTokenError> {
        let (header, validation) = self.header(token)?;
        let claims = match &self.keys {
            Keys::Shared(key) => decode::<Claims>(token, key, validation)?,
            Keys::Published(source) => {
                match source.look_up(header.key_id.as_deref(), validation.algorithms[0]) {
                    Lookup::Found(key) => decode::<Claims>(token, &key, validation)?,
                    Lookup::Ambiguous => return Err(ExternalTokenError::NoKeyNamed),
                    Lookup::Missing => {
                        // What would be refused with any key is worth no request.
                        self.check_unverified(token)?;
                        return Ok(None);
                    }
                }
            }
        };
        self.claims.identity(&claims.claims).map(Some)
    }

    /// How far the issuer's clock may differ from this server's.
    pub fn leeway(&self) -> Duration {
        self.claims.leeway()
    }

    /// A token's header, and what is required of its kind.
    fn header(
        &self,
        token: &str,
    ) -> Result<(claims::Header<'static>, &Validation), ExternalTokenError> {
        let header = claims::Header::read(token)?;
        if header.critical {
            return Err(ExternalTokenError::Critical);
        }
        let validation = self
            .validations
            .iter()
            .find(|validation| validation.algorithms.first() == header.algorithm.as_ref())
            .ok_or(ExternalTokenError::Algorithm(self.expected_algorithms()))?;
        Ok((header, validation))
    }

    fn expected_algorithms(&self) -> &'static str {
        match &self.keys {
            Keys::Shared(_) => "HS256",
            Keys::Published(_) => "RS256, ES256 or EdDSA",
        }
    }

    fn check_unverified(&self, token: &str) -> Result<(), ExternalTokenError> {
        let claims: Claims = dangerous::insecure_decode_claims(token)?;
        let issuer = claims.get("iss").and_then(serde_json::Value::as_str);
        if self.issuer.as_deref() != issuer {
            return Err(ExternalTokenError::Issuer);
        }
        self.claims.identity(&claims).map(drop)
    }
}
