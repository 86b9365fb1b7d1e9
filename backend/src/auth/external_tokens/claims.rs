//! What a token of another application says, and who that is here.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use protocol::{Role, SessionId, Timestamp, UserId};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ExternalTokenError;
use crate::config::{ClaimName, ExternalTokensConfig};

/// All that a token says.
pub(super) type Claims = serde_json::Map<String, Value>;

/// Bytes of a user's name at the issuer.
const SUBJECT_MAX: usize = 1_024;

/// The last second of the year 9999: later times can't be written as dates.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Who acts with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The user, derived from the issuer and its name for the user.
    pub user_id: UserId,
    /// The name that others read, if the token has one that may be shown.
    pub display_name: Option<String>,
    /// The role, if the configuration says in which claim it is.
    pub role: Option<Role>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// From when on it isn't accepted any more, leeway included.
    pub ends_at: Timestamp,
}

/// The header of a token.
pub(super) struct Header<'a> {
    /// `None` for one that nobody accepts.
    pub algorithm: Option<Algorithm>,
    pub key_id: Option<Cow<'a, str>>,
    pub critical: bool,
}

impl Header<'_> {
    pub fn read(token: &str) -> Result<Header<'static>, ExternalTokenError> {
        #[derive(Deserialize)]
        struct Fields {
            alg: String,
            kid: Option<String>,
            crit: Option<IgnoredAny>,
        }
        let malformed = || ExternalTokenError::Malformed;
        let (header, _) = token.split_once('.').ok_or_else(malformed)?;
        let header = BASE64_URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| malformed())?;
        let fields: Fields = serde_json::from_slice(&header).map_err(|_| malformed())?;
        Ok(Header {
            algorithm: fields.alg.parse().ok(),
            key_id: fields.kid.map(Cow::Owned),
            critical: fields.crit.is_some(),
        })
    }
}

/// Reads claims as the configuration maps them.
pub(super) struct ClaimsReader {
    issuer: String,
    user: ClaimName,
    name: ClaimName,
    role: Option<ClaimName>,
    admin_roles: Vec<String>,
    staff_roles: Vec<String>,
    leeway: Duration,
}

impl ClaimsReader {
    pub fn new(config: &ExternalTokensConfig) -> Self {
        Self {
            issuer: config.issuer.clone().unwrap_or_default(),
            user: config.user_claim.clone(),
            name: config.name_claim.clone(),
            role: config.role_claim.clone(),
            admin_roles: config.admin_roles.clone(),
            staff_roles: config.staff_roles.clone(),
            leeway: config.leeway,
        }
    }

    pub fn leeway(&self) -> Duration {
        self.leeway
    }

    /// Who acts, and how long; claims that the library has checked may not have been when a key is looked for.
    pub fn identity(&self, claims: &Claims) -> Result<ExternalIdentity, ExternalTokenError> {
        let missing = |claim: &str| ExternalTokenError::Claim(claim.to_owned());
        let now = Timestamp::now().unix_ms();
        let leeway = self.leeway.as_millis() as i64;
        let ends_at = time(claims, "exp")?.ok_or_else(|| missing("exp"))? + leeway;
        if ends_at <= now {
            return Err(ExternalTokenError::Expired);
        }
        // Without it nobody could tell which of two tokens is the later one, or whether it was issued before a revocation.
        let issued_at = time(claims, "iat")?.ok_or_else(|| missing("iat"))?;
        if issued_at > now + leeway {
            return Err(ExternalTokenError::NotYetValid);
        }
        let subject = match self.user.find(claims) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= SUBJECT_MAX => {
                Cow::Borrowed(text.as_str())
            }
            // As the databases of many applications number their users.
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Cow::Owned(number.to_string())
            }
            _ => return Err(missing(self.user.as_str())),
        };
        let name = self.name.find(claims).and_then(Value::as_str);
        Ok(ExternalIdentity {
            user_id: external_user_id(&self.issuer, &subject),
            display_name: name.and_then(protocol::display_name),
            role: self
                .role
                .as_ref()
                .map(|claim| self.role(claim.find(claims))),
            issued_at: Timestamp::from_unix_ms(issued_at),
            ends_at: Timestamp::from_unix_ms(ends_at),
        })
    }

    /// The highest of the roles that a claim gives; an ordinary user's if it gives none.
    fn role(&self, claim: Option<&Value>) -> Role {
        let given: Vec<&str> = match claim {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let has = |wanted: &[String]| wanted.iter().any(|role| given.contains(&role.as_str()));
        if has(&self.admin_roles) {
            Role::Admin
        } else if has(&self.staff_roles) {
            Role::Staff
        } else {
            Role::User
        }
    }
}

/// A time in milliseconds; it may have a fraction (RFC 7519, NumericDate).
fn time(claims: &Claims, claim: &str) -> Result<Option<i64>, ExternalTokenError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds >= 0.0 => {
                Ok(Some((seconds.min(LAST_SECOND) * 1_000.0) as i64))
            }
            _ => Err(ExternalTokenError::Claim(claim.to_owned())),
        },
    }
}

/// The id of a user whom `issuer` calls `subject`. Those of local accounts are written differently, so that none is ever
/// the same; and nobody finds two subjects with one id.
pub fn external_user_id(issuer: &str, subject: &str) -> UserId {
    let digest = Sha256::new()
        .chain_update((issuer.len() as u64).to_be_bytes())
        .chain_update(issuer)
        .chain_update(subject)
        .finalize();
    UserId::trusted(format!("x{}", BASE64_URL_SAFE_NO_PAD.encode(&digest[..24])))
}

/// What stands for the session of a token, which has none here.
pub(crate) fn token_id(token: &str) -> SessionId {
    let digest = Sha256::digest(token);
    SessionId::trusted(format!("x{}", BASE64_URL_SAFE_NO_PAD.encode(&digest[..24])))
}

#[cfg(test)]
mod tests {
    use protocol::Secret;
    use serde_json::json;

    use super::*;
    use crate::config::ExternalKeys;

    fn reader() -> ClaimsReader {
        ClaimsReader::new(&ExternalTokensConfig {
            keys: ExternalKeys::Shared(Secret::from("")),
            issuer: Some("https://issuer.example".to_owned()),
            audiences: Vec::new(),
            leeway: Duration::from_secs(60),
            user_claim: "sub".into(),
            name_claim: "/profile/name".into(),
            role_claim: Some("https://app.example/roles".into()),
            admin_roles: vec!["owner".to_owned(), "root".to_owned()],
            staff_roles: vec!["clerk".to_owned()],
            tls_ca_file: None,
        })
    }

    fn identity(claims: Value) -> Result<ExternalIdentity, ExternalTokenError> {
        let Value::Object(mut claims) = claims else {
            panic!("no claims")
        };
        let now = Timestamp::now().unix_ms() / 1_000;
        claims.entry("exp").or_insert(json!(now + 60));
        match claims.get("iat") {
            Some(Value::Null) => drop(claims.remove("iat")),
            Some(_) => {}
            None => drop(claims.insert("iat".to_owned(), json!(now))),
        }
        reader().identity(&claims)
    }

    #[test]
    fn claims_are_mapped_as_configured() {
        let mapped = identity(json!({
            "sub": 42, "iat": 1_800_000, "profile": { "name": " Zoë\u{202e} " },
            "https://app.example/roles": ["clerk", "root", 1],
        }))
        .unwrap();
        let id = external_user_id("https://issuer.example", "42");
        assert_eq!(mapped.user_id, id);
        assert_eq!(mapped.display_name, None, "it turns what follows");
        assert_eq!(mapped.role, Some(Role::Admin));
        assert_eq!(mapped.issued_at.unix_ms(), 1_800_000_000);
        let named = identity(json!({ "sub": "42", "profile": { "name": " Zoë " } })).unwrap();
        assert_eq!(named.user_id, id);
        assert_eq!(named.display_name.as_deref(), Some("Zoë"));
        assert_eq!(named.role, Some(Role::User));
        let long = identity(json!({ "sub": "1", "profile": { "name": "é".repeat(1_000) } }));
        let name = long.unwrap().display_name.unwrap();
        assert_eq!(name.chars().count(), protocol::limits::DISPLAY_NAME_MAX);
        for (role, expected) in [
            (json!("owner"), Role::Admin),
            (json!("clerk"), Role::Staff),
            (json!("not the owner"), Role::User),
            (json!("Owner"), Role::User),
            (json!({ "owner": true }), Role::User),
            (json!(null), Role::User),
        ] {
            let mapped = identity(json!({ "sub": "1", "https://app.example/roles": role }));
            assert_eq!(mapped.unwrap().role, Some(expected));
        }
    }

    #[test]
    fn a_claim_of_the_wrong_form_is_named() {
        for (claims, wrong) in [
            (json!({}), "sub"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sub": 1.5 }), "sub"),
            (json!({ "sub": ["1"] }), "sub"),
            (json!({ "sub": "x".repeat(1_025) }), "sub"),
            (json!({ "sub": "1", "exp": "9999999999" }), "exp"),
            (json!({ "sub": "1", "exp": -1 }), "exp"),
            (json!({ "sub": "1", "iat": "now" }), "iat"),
            (json!({ "sub": "1", "iat": null }), "iat"),
        ] {
            let refused = identity(claims.clone()).unwrap_err();
            assert_eq!(
                refused,
                ExternalTokenError::Claim(wrong.to_owned()),
                "{claims}"
            );
        }
        let now = Timestamp::now().unix_ms() / 1_000;
        for (iat, exp, expected) in [
            (now + 50, now - 50, None),
            (now, now - 61, Some(ExternalTokenError::Expired)),
            (now + 120, now + 300, Some(ExternalTokenError::NotYetValid)),
        ] {
            let read = identity(json!({ "sub": "1", "iat": iat, "exp": exp }));
            assert_eq!(read.err(), expected);
        }
        let eternal = identity(json!({ "sub": "1", "exp": 1e300 })).unwrap();
        assert!(eternal.ends_at > Timestamp::now());
    }

    #[test]
    fn ids_are_no_local_accounts_and_no_others() {
        let id = external_user_id("https://a.example", "1");
        assert_eq!(id, external_user_id("https://a.example", "1"));
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id.as_str().starts_with('x') && id.as_str().len() == 33);
        for (issuer, subject) in [
            ("https://a.example", "2"),
            ("https://a.exampl", "e1"),
            ("https://a.example1", ""),
            ("", "https://a.example1"),
        ] {
            assert_ne!(id, external_user_id(issuer, subject));
        }
    }
}
