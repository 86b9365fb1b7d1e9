//! Links in emails: what they allow is signed with the server's secret, for a purpose, a user, an address and a time. Nothing
//! is stored, so a link that resets a password is bound to the password that it resets: used once, it is good no more.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac as _;
use protocol::{Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::auth::signing_secret::{Mac, SigningSecret};

/// What a link allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To say that an address is one's own.
    #[serde(rename = "v")]
    Verify,
    /// To choose another password.
    #[serde(rename = "r")]
    Reset,
    /// To get no more emails.
    #[serde(rename = "u")]
    Unsubscribe,
}

impl Purpose {
    fn valid_ms(self) -> i64 {
        const HOUR: i64 = 60 * 60 * 1_000;
        match self {
            Self::Verify => 72 * HOUR,
            Self::Reset => HOUR,
            // As long as an email may lie in a mailbox.
            Self::Unsubscribe => 2 * 365 * 24 * HOUR,
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    #[serde(rename = "p")]
    purpose: Purpose,
    /// The user.
    #[serde(rename = "u")]
    pub user: UserId,
    /// The address that it was sent to.
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    #[serde(rename = "x")]
    expires_at_ms: i64,
    /// Of the password that it replaces, or of the address whose emails it ends.
    #[serde(rename = "f", default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
}

/// Makes links and reads what they hold.
pub struct Links {
    public_url: Url,
    tokens: Mac,
    fingerprints: Mac,
}

impl Links {
    /// Links to the server at this address.
    pub fn new(public_url: Url, secret: &SigningSecret) -> Self {
        Self {
            public_url,
            tokens: secret.mac_for("links in emails"),
            fingerprints: secret.mac_for("fingerprints of passwords"),
        }
    }

    /// The server's address for people.
    pub fn home(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }

    /// Where an address is verified. What is behind `#` reaches no server and no log on the way there.
    pub fn verify(&self, user: &UserId, email: &str, now: Timestamp) -> String {
        let token = self.token(Purpose::Verify, user, email, "", now);
        format!("{}/#verify-email={token}", self.home())
    }

    /// Where a password is reset.
    pub fn reset(&self, user: &UserId, email: &str, fingerprint: &str, now: Timestamp) -> String {
        let token = self.token(Purpose::Reset, user, email, fingerprint, now);
        format!("{}/#reset-password={token}", self.home())
    }

    /// Where one click ends emails.
    pub fn unsubscribe(&self, user: &UserId, email: &str, now: Timestamp) -> String {
        // The whole link is sent to the server, and may be in a log on the way there.
        let print = self.address_print(email);
        let token = self.token(Purpose::Unsubscribe, user, "", &print, now);
        format!("{}/api/v1/mail/unsubscribe?token={token}", self.home())
    }

    fn token(
        &self,
        purpose: Purpose,
        user: &UserId,
        email: &str,
        fingerprint: &str,
        now: Timestamp,
    ) -> String {
        let grant = Grant {
            purpose,
            user: user.clone(),
            email: email.to_owned(),
            expires_at_ms: now.unix_ms() + purpose.valid_ms(),
            fingerprint: fingerprint.to_owned(),
        };
        let payload = serde_json::to_vec(&grant).unwrap_or_default();
        let tag = self.tokens.clone().chain_update(&payload).finalize();
        let tag = tag.into_bytes();
        let encoded = [payload.as_slice(), tag.as_slice()];
        encoded
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
            .join(".")
    }

    /// What a token grants, if it is one of this server's for this purpose and not too old.
    pub fn read(&self, purpose: Purpose, token: &Secret, now: Timestamp) -> Option<Grant> {
        let (payload, tag) = token.expose().split_once('.')?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        let mac = self.tokens.clone().chain_update(&payload);
        // In constant time.
        mac.verify_slice(&tag).ok()?;
        let grant: Grant = serde_json::from_slice(&payload).ok()?;
        (grant.purpose == purpose && grant.expires_at_ms > now.unix_ms()).then_some(grant)
    }

    /// What tells one address from another and says nothing else of it.
    pub fn address_print(&self, email: &str) -> String {
        self.fingerprint(&email.to_lowercase().into())
    }

    /// What tells one password's hash from another's and says nothing else of it.
    pub fn fingerprint(&self, hash: &Secret) -> String {
        let mac = self.fingerprints.clone().chain_update(hash.expose());
        BASE64_URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(secret: &str) -> Links {
        let url = "https://chat.example.org/".parse().unwrap();
        Links::new(url, &SigningSecret::from_bytes(secret))
    }

    fn token_of(link: &str) -> Secret {
        link.rsplit_once('=').unwrap().1.into()
    }

    #[test]
    fn a_link_allows_one_thing_to_one_user_for_a_time() {
        let (links, user) = (links("one secret"), UserId::trusted("ana"));
        let now = Timestamp::from_unix_ms(1_000_000);
        let link = links.reset(&user, "ana@example.org", "print", now);
        assert!(link.starts_with("https://chat.example.org/#reset-password="));
        let token = token_of(&link);
        let grant = links.read(Purpose::Reset, &token, now).unwrap();
        assert_eq!(
            (&grant.user, &*grant.email, &*grant.fingerprint),
            (&user, "ana@example.org", "print")
        );
        assert!(links.read(Purpose::Verify, &token, now).is_none());
        let later = Timestamp::from_unix_ms(now.unix_ms() + 60 * 60 * 1_000);
        assert!(links.read(Purpose::Reset, &token, later).is_none());
        assert!(
            self::links("another")
                .read(Purpose::Reset, &token, now)
                .is_none()
        );
        let (payload, tag) = token.expose().split_once('.').unwrap();
        for forged in [
            "",
            ".",
            payload,
            &format!("{payload}."),
            &format!("{payload}.{}", &tag[1..]),
            &format!("A{payload}.{tag}"),
        ] {
            assert!(
                links.read(Purpose::Reset, &forged.into(), now).is_none(),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_fingerprint_is_one_passwords() {
        let links = links("one secret");
        let print = |hash: &str| links.fingerprint(&hash.into());
        assert_eq!(print("a"), print("a"));
        assert_ne!(print("a"), print("b"));
    }
}
