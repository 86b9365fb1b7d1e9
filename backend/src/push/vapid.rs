//! The key by which push services know this server (VAPID, RFC 8292).

use std::{fs, io, path::Path};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use protocol::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;
use url::{Position, Url};

use crate::{auth::jwt, config::PushConfig, private_file};

/// The file in the data directory, in PKCS #8.
const FILE: &str = "vapid.p8";

/// How long a signature is good. Services refuse more than a day.
const VALID_SECONDS: i64 = 12 * 60 * 60;

/// A key.
pub(super) struct Vapid {
    signing: EncodingKey,
    public: String,
    subject: String,
}

impl Vapid {
    /// The configured key, or else the one in the data directory, which is made if there is none. `None` for an instance of
    /// a fleet without a configured one, since all need the same.
    pub(super) fn open(config: &PushConfig) -> io::Result<Option<Self>> {
        let pkcs8 = match (&config.vapid_key, &config.key_directory) {
            (Some(key), _) => key.0.clone(),
            (None, Some(directory)) => read_or_make(directory)?,
            (None, None) => return Ok(None),
        };
        let subject = config.vapid_subject.clone();
        Self::new(&pkcs8, subject).map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the key for push is no key of P-256",
            )
        })
    }

    fn new(pkcs8: &[u8], subject: String) -> Option<Self> {
        jwt::install_cryptography();
        let pair = pair(pkcs8)?;
        Some(Self {
            signing: EncodingKey::from_ec_der(pkcs8),
            public: BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
            subject,
        })
    }

    /// As browsers want it.
    pub(super) fn public_key(&self) -> String {
        self.public.clone()
    }

    /// The header for a push service.
    pub(super) fn authorization(&self, endpoint: &Url) -> Option<String> {
        let audience = &endpoint[..Position::BeforePath];
        let claims = json!({
            "aud": audience,
            "exp": Timestamp::now().unix_ms() / 1_000 + VALID_SECONDS,
            "sub": self.subject,
        });
        let header = Header::new(Algorithm::ES256);
        let token = jsonwebtoken::encode(&header, &claims, &self.signing).ok()?;
        Some(format!("vapid t={token}, k={}", self.public))
    }
}

fn pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).ok()
}

fn read_or_make(directory: &Path) -> io::Result<Vec<u8>> {
    let path = directory.join(FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| io::Error::other("no key could be made"))?;
    private_file::put(directory, FILE, made.as_ref())?;
    // Another process may have been first.
    fs::read(&path)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_made_key_stays_and_signs_for_one_service() {
        let directory = tempfile::tempdir().unwrap();
        let made = read_or_make(directory.path()).unwrap();
        assert_eq!(read_or_make(directory.path()).unwrap(), made);
        let vapid = Vapid::new(&made, "mailto:ana@example.org".to_owned()).unwrap();
        let endpoint: Url = "https://push.example.org:8443/send/abc".parse().unwrap();
        let header = vapid.authorization(&endpoint).unwrap();
        let (token, key) = header
            .strip_prefix("vapid t=")
            .unwrap()
            .split_once(", k=")
            .unwrap();
        assert_eq!(key, vapid.public_key());
        let point = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["https://push.example.org:8443"]);
        let claims = jsonwebtoken::decode::<serde_json::Value>(
            token,
            &DecodingKey::from_ec_der(&point),
            &validation,
        );
        assert_eq!(claims.unwrap().claims["sub"], "mailto:ana@example.org");
    }
}
