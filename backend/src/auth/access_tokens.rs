//! Access tokens: JSON Web Tokens signed with HMAC-SHA-256 (RFC 7519 in the compact form of RFC 7515), good for 15
//! minutes. Checking one takes microseconds and no I/O, so that every request and every connection can afford it.

use std::{borrow::Cow, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use protocol::{ErrorCode, Role, Secret, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::{actor::Actor, jwt::install_cryptography, signing_secret::SigningSecret};
use crate::error::AppError;

/// How long an access token is good.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// What a token says; times are in seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    sub: Cow<'a, UserId>,
    sid: Cow<'a, SessionId>,
    name: Cow<'a, str>,
    role: Role,
    guest: bool,
    iat: i64,
    exp: i64,
    /// When the session ends unless it is refreshed again; absent from tokens of the version before.
    #[serde(rename = "sessionExp")]
    session_exp: Option<i64>,
}

/// Why a token isn't accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It isn't one that this server signed.
    #[error("the access token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// Its session is over before it is.
    #[error("the session has ended")]
    Ended,
}

/// Signs and checks access tokens.
pub struct AccessTokens {
    header: Header,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl AccessTokens {
    /// Tokens under `secret`, which others that have it may check as well.
    pub fn new(secret: &SigningSecret) -> Self {
        install_cryptography();
        let mut validation = Validation::new(Algorithm::HS256);
        // Against the caller's clock, and to the second.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            header: Header::new(Algorithm::HS256),
            signing: EncodingKey::from_secret(secret.bytes()),
            checking: DecodingKey::from_secret(secret.bytes()),
            validation,
        }
    }

    /// A token that says who acts, from `now` on.
    ///
    /// # Errors
    /// None in practice: the claims are plain data.
    pub fn issue(
        &self,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Secret, jsonwebtoken::errors::Error> {
        let iat = now.unix_ms() / 1_000;
        let claims = Claims {
            sub: Cow::Borrowed(&actor.user_id),
            sid: Cow::Borrowed(&actor.session_id),
            name: Cow::Borrowed(&actor.display_name),
            role: actor.role,
            guest: actor.guest,
            iat,
            exp: iat + ACCESS_TOKEN_LIFE.as_secs() as i64,
            session_exp: Some(actor.session_expires_at.unix_ms() / 1_000),
        };
        Ok(encode(&self.header, &claims, &self.signing)?.into())
    }

    /// Who acts with this token.
    ///
    /// # Errors
    /// If the signature isn't ours, or the token's time is over at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Actor, TokenError> {
        let claims = decode::<Claims<'static>>(token, &self.checking, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.exp <= now.unix_ms() / 1_000 {
            return Err(TokenError::Expired);
        }
        Ok(Actor {
            user_id: claims.sub.into_owned(),
            session_id: claims.sid.into_owned(),
            display_name: claims.name.into_owned(),
            role: claims.role,
            guest: claims.guest,
            session_expires_at: Timestamp::from_unix_ms(
                claims.session_exp.unwrap_or(claims.exp) * 1_000,
            ),
            external: None,
        })
    }
}

impl From<TokenError> for AppError {
    fn from(error: TokenError) -> Self {
        Self::new(ErrorCode::Unauthenticated, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn tokens() -> AccessTokens {
        AccessTokens::new(&SigningSecret::from_bytes(
            "a secret of at least thirty-two bytes",
        ))
    }

    fn actor() -> Actor {
        Actor {
            user_id: UserId::trusted("u-1"),
            session_id: SessionId::trusted("s-1"),
            display_name: "Zoë \"Z\" 🦊".into(),
            role: Role::Staff,
            guest: false,
            session_expires_at: later(Duration::from_secs(86_400)),
            external: None,
        }
    }

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn later(by: Duration) -> Timestamp {
        NOW.plus(by)
    }

    #[test]
    fn a_token_says_who_acts_until_it_expires() {
        let token = tokens().issue(&actor(), NOW).unwrap();
        let verify = |now| tokens().verify(token.expose(), now);
        assert_eq!(verify(NOW), Ok(actor()));
        assert_eq!(
            verify(later(ACCESS_TOKEN_LIFE - Duration::from_millis(1))),
            Ok(actor())
        );
        assert_eq!(verify(later(ACCESS_TOKEN_LIFE)), Err(TokenError::Expired));
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let token = tokens().issue(&actor(), NOW).unwrap();
        for place in 0..token.expose().len() {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                tokens().verify(&changed, NOW),
                Err(TokenError::Invalid),
                "place {place}"
            );
        }
    }

    #[test]
    fn other_secrets_and_algorithms_are_refused() {
        let other = AccessTokens::new(&SigningSecret::from_bytes(
            "another secret of thirty-two bytes",
        ));
        let token = other.issue(&actor(), NOW).unwrap();
        assert_eq!(
            tokens().verify(token.expose(), NOW),
            Err(TokenError::Invalid)
        );

        let ours = tokens().issue(&actor(), NOW).unwrap();
        let claims = ours.expose().split('.').nth(1).unwrap();
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for token in [
            format!("{none}.{claims}."),
            format!("{none}.{claims}"),
            String::new(),
            ".".into(),
            "..".into(),
        ] {
            assert_eq!(
                tokens().verify(&token, NOW),
                Err(TokenError::Invalid),
                "{token}"
            );
        }
    }

    /// The token of RFC 7515, appendix A.1.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        install_cryptography();
        let key = DecodingKey::from_secret(&BASE64_URL_SAFE_NO_PAD.decode(key).unwrap());
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0d\
                     HA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims: serde_json::Value = decode(token, &key, &tokens().validation).unwrap().claims;
        assert_eq!(claims["iss"], "joe");
    }

    #[test]
    fn instances_whose_clocks_differ_by_a_minute_accept_each_others_tokens() {
        let token = tokens()
            .issue(&actor(), later(Duration::from_secs(60)))
            .unwrap();
        assert_eq!(tokens().verify(token.expose(), NOW), Ok(actor()));
        let token = tokens().issue(&actor(), NOW).unwrap();
        let ahead = later(Duration::from_secs(60));
        assert_eq!(tokens().verify(token.expose(), ahead), Ok(actor()));
    }
}
