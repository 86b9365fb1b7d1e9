//! Push: the key by which push services know this server, the account of Firebase, and when those who are away are told.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;
use url::Url;

use super::reader::Reader;
/// When those who are away are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationSettings {
    /// `PUSH_AFTER_SECONDS`: how long a notification may stay unread before it is pushed; 30 by default.
    pub push_after: Duration,
    /// `MAIL_AFTER_SECONDS`: the same before it is mailed; 900 by default.
    pub mail_after: Duration,
}

/// Push's settings.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// `VAPID_PRIVATE_KEY` and `VAPID_PUBLIC_KEY`, in PKCS #8.
    pub vapid_key: Option<PrivateKey>,
    /// Where a key is made and kept if none is configured; not in a fleet, whose instances need the same.
    pub key_directory: Option<PathBuf>,
    /// `VAPID_SUBJECT`: whom push services write to.
    pub vapid_subject: String,
    /// `FCM_SERVICE_ACCOUNT`.
    pub fcm: Option<FcmAccount>,
    /// `PUSH_PRIVATE_ADDRESSES`: whether push services may be anywhere, also without TLS; for tests.
    pub private_addresses: bool,
    /// Authorities that are trusted beside the system's.
    pub tls_ca_file: Option<PathBuf>,
}

/// A private key, which isn't shown.
#[derive(Clone)]
pub struct PrivateKey(pub Vec<u8>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A service account of Firebase.
#[derive(Debug, Clone)]
pub struct FcmAccount {
    /// The project.
    pub project_id: String,
    /// The account's name.
    pub client_email: String,
    /// Its key, in PKCS #8.
    pub private_key: PrivateKey,
    /// Where access tokens are had.
    pub token_url: Url,
    /// `FCM_URL`: where messages are sent to.
    pub send_url: Url,
}

/// The file that Firebase's console gives.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    client_email: String,
    private_key: String,
    token_uri: String,
}

impl Reader<'_> {
    pub(super) fn push(
        &mut self,
        data_dir: &Path,
        is_fleet: bool,
        production: bool,
        tls_ca_file: Option<PathBuf>,
    ) -> PushConfig {
        let private_addresses = self.flag("PUSH_PRIVATE_ADDRESSES", false);
        if private_addresses && production {
            let () = self.wrong("PUSH_PRIVATE_ADDRESSES", "false in production");
        }
        let subject = self.text("VAPID_SUBJECT");
        let subject = subject.unwrap_or_else(|| "mailto:tertulia@localhost.localdomain".to_owned());
        if !subject.starts_with("mailto:") && !subject.starts_with("https://") {
            let () = self.wrong("VAPID_SUBJECT", "mailto:… or https://…");
        }
        PushConfig {
            vapid_key: self.vapid_key(),
            key_directory: (!is_fleet).then(|| data_dir.to_owned()),
            vapid_subject: subject,
            fcm: self.fcm(),
            private_addresses,
            tls_ca_file,
        }
    }

    fn vapid_key(&mut self) -> Option<PrivateKey> {
        let private = self.text("VAPID_PRIVATE_KEY");
        let public = self.text("VAPID_PUBLIC_KEY");
        let (private, public) = match (private, public) {
            (None, None) => return None,
            (Some(private), Some(public)) => (private, public),
            _ => {
                let expected = "both keys of a pair, with VAPID_PUBLIC_KEY";
                return self.wrong("VAPID_PRIVATE_KEY", expected);
            }
        };
        let decode = |text: &str| {
            BASE64_URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .unwrap_or_default()
        };
        let key = pkcs8_of(&decode(&private), &decode(&public)).map(PrivateKey);
        if key.is_none() {
            let expected = "the private key of VAPID_PUBLIC_KEY, both in base64url";
            let () = self.wrong("VAPID_PRIVATE_KEY", expected);
        }
        key
    }

    fn fcm(&mut self) -> Option<FcmAccount> {
        let send_url = self.parse("FCM_URL", "an address", FcmUrl(default_fcm_url()));
        let path = self.text("FCM_SERVICE_ACCOUNT")?;
        let expected = "the file of a service account";
        let Ok(text) = std::fs::read_to_string(path) else {
            return self.wrong("FCM_SERVICE_ACCOUNT", expected);
        };
        let Ok(file) = serde_json::from_str::<AccountFile>(&text) else {
            return self.wrong("FCM_SERVICE_ACCOUNT", expected);
        };
        let is_plain = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            !text.is_empty() && text.bytes().all(allowed)
        };
        let key = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes());
        let token_url: Result<Url, _> = file.token_uri.parse();
        let (Ok(key), Ok(token_url), true) = (key, token_url, is_plain(&file.project_id)) else {
            return self.wrong("FCM_SERVICE_ACCOUNT", expected);
        };
        Some(FcmAccount {
            project_id: file.project_id,
            client_email: file.client_email,
            private_key: PrivateKey(key.secret_pkcs8_der().to_vec()),
            token_url,
            send_url: send_url.0,
        })
    }

    pub(super) fn notifications(&mut self) -> NotificationSettings {
        let mut seconds = |name, default| {
            Duration::from_secs(self.number(name, 1, 7 * 24 * 60 * 60, default) as u64)
        };
        NotificationSettings {
            push_after: seconds("PUSH_AFTER_SECONDS", 30),
            mail_after: seconds("MAIL_AFTER_SECONDS", 900),
        }
    }
}

struct FcmUrl(Url);

impl std::str::FromStr for FcmUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[expect(clippy::expect_used, reason = "a constant")]
fn default_fcm_url() -> Url {
    "https://fcm.googleapis.com/".parse().expect("an address")
}

/// The PKCS #8 form of a key that is given as other programs print it: the private number and the public point.
fn pkcs8_of(private: &[u8], public: &[u8]) -> Option<Vec<u8>> {
    /// PrivateKeyInfo of id-ecPublicKey with prime256v1, up to the private number of 32 bytes.
    const HEAD: [u8; 36] = [
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30,
        0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    /// From there to the public point of 65 bytes.
    const MIDDLE: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
    if private.len() != 32 || public.len() != 65 {
        return None;
    }
    let pkcs8 = [HEAD.as_slice(), private, &MIDDLE, public].concat();
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random).ok()?;
    Some(pkcs8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_other_programs_print_it() {
        // The example of RFC 8291: the application server's keys.
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let private = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let public = decode(
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
        );
        let pkcs8 = pkcs8_of(&private, &public).unwrap();
        assert_eq!(pkcs8.len(), 138);
        assert!(pkcs8_of(&private[1..], &public).is_none());
        let mut other = public.clone();
        other[40] ^= 1;
        assert!(pkcs8_of(&private, &other).is_none());
    }
}
