//! The key of programs that publish events.
//!
//! What must stay true: comparing takes the same time wherever keys differ, and the key isn't printed.

use hmac::Mac as _;
use protocol::Secret;

use crate::auth::signing_secret::{Mac, SigningSecret};

/// A key, kept as its signature under a secret of this process.
pub struct ApiKey {
    mac: Mac,
    signature: Vec<u8>,
}

impl ApiKey {
    /// A key that requests have to present.
    pub fn new(key: &Secret) -> Self {
        let mac = SigningSecret::from_bytes(rand::random::<[u8; 32]>()).mac_for("API key");
        let signature = mac.clone().chain_update(text::opaque(key.expose()));
        let signature = signature.finalize();
        Self {
            mac,
            signature: signature.into_bytes().to_vec(),
        }
    }

    /// True if this is the key.
    pub fn is(&self, presented: &str) -> bool {
        let mac = self.mac.clone().chain_update(text::opaque(presented));
        mac.verify_slice(&self.signature).is_ok()
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
