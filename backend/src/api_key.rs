//! The key that other programs of the same house have.
//!
//! What must stay true: comparing takes the same time wherever keys differ, and the key isn't printed.

use axum::{extract::FromRequestParts, http::request::Parts};
use hmac::Mac as _;
use protocol::{ErrorCode, Secret};

use crate::{
    actor,
    app::SharedApp,
    error::AppError,
    signing_secret::{Mac, SigningSecret},
};

/// A key that is known by its signature under a secret of this process.
pub(crate) struct ApiKey {
    mac: Mac,
    signature: Vec<u8>,
}

impl ApiKey {
    pub(crate) fn new(key: &Secret) -> Self {
        let mac = SigningSecret::from_bytes(rand::random::<[u8; 32]>()).mac_for("API key");
        let signature = mac.clone().chain_update(text::opaque(key.expose()));
        let signature = signature.finalize();
        Self {
            mac,
            signature: signature.into_bytes().to_vec(),
        }
    }

    fn is(&self, presented: &str) -> bool {
        let mac = self.mac.clone().chain_update(text::opaque(presented));
        mac.verify_slice(&self.signature).is_ok()
    }
}

/// The proof that a request came with the key. Where there is none the route doesn't exist.
pub struct KeyHolder(());

impl FromRequestParts<SharedApp> for KeyHolder {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        let Some(key) = &app.publishing.key else {
            return Err(AppError::not_found("route"));
        };
        match actor::bearer_of(parts) {
            Some(presented) if key.is(presented) => Ok(Self(())),
            _ => Err(AppError::new(
                ErrorCode::Unauthenticated,
                "the header Authorization: Bearer with the API key is required",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_itself_is_the_key() {
        let text = "0123456789abcdef0123456789abcdef";
        let key = ApiKey::new(&text.into());
        assert!(key.is(text));
        for other in [
            "",
            &text[1..],
            &text[..31],
            &format!("{text}0"),
            &text.to_uppercase(),
        ] {
            assert!(!key.is(other), "{other}");
        }
        let composed = ApiKey::new(&"clé d’accès, longue de plus de 32".into());
        assert!(composed.is("cle\u{301} d’acce\u{300}s, longue de plus de 32"));
    }
}
