//! The keys that an issuer publishes as a JSON Web Key Set (RFC 7517).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// Keys read of one set: no issuer has more at a time.
const KEYS_MAX: usize = 100;

/// Bytes of an RSA key's modulus: shorter ones are broken, longer ones cost too much to use.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1_024;

/// The keys of an issuer that may sign tokens. Others in its set, such as those for encryption, are passed over.
#[derive(Default)]
pub(super) struct KeySet(Vec<VerificationKey>);

struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

/// The outcome of looking for a token's key.
pub(super) enum Lookup {
    Found(Arc<DecodingKey>),
    /// The token names no key, and several would do.
    Ambiguous,
    Missing,
}

impl KeySet {
    /// Reads a set; `None` if it isn't one.
    pub fn read(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        let keys = set.keys.into_iter().take(KEYS_MAX);
        Some(Self(keys.filter_map(verification_key).collect()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn look_up(&self, id: Option<&str>, algorithm: Algorithm) -> Lookup {
        let mut fitting = self.0.iter().filter(|key| {
            key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id))
        });
        match (fitting.next(), fitting.next()) {
            (None, _) => Lookup::Missing,
            (Some(_), Some(_)) if id.is_none() => Lookup::Ambiguous,
            (Some(key), _) => Lookup::Found(key.key.clone()),
        }
    }
}

/// A key for signatures by one of the accepted algorithms; which one is the key's to say, never the token's.
fn verification_key(jwk: Value) -> Option<VerificationKey> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let common = &jwk.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|it| *it == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|it| it.contains(&KeyOperations::Verify));
    let length = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_or(0, |it| it.len());
    let (algorithm, of_key) = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if RSA_MODULUS.contains(&length(&key.n)) => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key)
            if key.curve == EllipticCurve::P256 && length(&key.x) == 32 && length(&key.y) == 32 =>
        {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key)
            if key.curve == EllipticCurve::Ed25519 && length(&key.x) == 32 =>
        {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if !is_for_signatures || common.key_algorithm.is_some_and(|it| it != of_key) {
        return None;
    }
    Some(VerificationKey {
        id: common.key_id.clone(),
        algorithm,
        key: Arc::new(DecodingKey::from_jwk(&jwk).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed25519(id: Option<&str>) -> Value {
        let mut key =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64_URL_SAFE_NO_PAD.encode([9; 32]) });
        if let Some(id) = id {
            key["kid"] = json!(id);
        }
        key
    }

    fn rsa(bytes: usize) -> Value {
        let modulus = BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        json!({ "kty": "RSA", "n": modulus, "e": "AQAB", "kid": "r" })
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn with(mut key: Value, field: &str, value: Value) -> Value {
        key[field] = value;
        key
    }

    #[test]
    fn only_keys_for_signatures_are_kept() {
        let point = BASE64_URL_SAFE_NO_PAD.encode([1; 32]);
        let p256 = json!({ "kty": "EC", "crv": "P-256", "x": point, "y": point, "kid": "e" });
        for (key, kept) in [
            (ed25519(Some("a")), 1),
            (with(ed25519(None), "alg", json!("EdDSA")), 1),
            (with(ed25519(None), "alg", json!("RS256")), 0),
            (with(ed25519(None), "alg", json!("ML-DSA-65")), 0),
            (with(ed25519(None), "use", json!("sig")), 1),
            (with(ed25519(None), "use", json!("enc")), 0),
            (with(ed25519(None), "key_ops", json!(["sign"])), 0),
            (with(ed25519(None), "key_ops", json!(["verify"])), 1),
            (with(ed25519(None), "x", json!("AAAA")), 0),
            (with(ed25519(None), "crv", json!("X25519")), 0),
            (rsa(256), 1),
            (rsa(128), 0),
            (rsa(4_096), 0),
            (with(rsa(256), "alg", json!("RSA-OAEP")), 0),
            (with(rsa(256), "alg", json!("HS256")), 0),
            (p256.clone(), 1),
            (with(p256, "crv", json!("P-384")), 0),
            (json!({ "kty": "oct", "k": point, "kid": "secret" }), 0),
            (json!({ "kty": "new" }), 0),
            (json!("key"), 0),
        ] {
            assert_eq!(
                set(&[key.clone(), ed25519(Some("b"))]).len(),
                kept + 1,
                "{key}"
            );
        }
        for wrong in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
            assert!(KeySet::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_found_by_name_and_kind() {
        use Algorithm::{EdDSA, RS256};
        let one = set(&[ed25519(Some("a")), rsa(256)]);
        let two = set(&[ed25519(Some("a")), ed25519(Some("b"))]);
        let found = |set: &KeySet, id, algorithm| match set.look_up(id, algorithm) {
            Lookup::Found(_) => "found",
            Lookup::Ambiguous => "ambiguous",
            Lookup::Missing => "missing",
        };
        assert_eq!(found(&one, Some("a"), EdDSA), "found");
        assert_eq!(found(&one, Some("a"), RS256), "missing");
        assert_eq!(found(&one, Some("b"), EdDSA), "missing");
        assert_eq!(found(&one, None, EdDSA), "found");
        assert_eq!(found(&two, None, EdDSA), "ambiguous");
        assert_eq!(found(&two, None, RS256), "missing");
        assert_eq!(found(&two, Some("b"), EdDSA), "found");
    }
}
