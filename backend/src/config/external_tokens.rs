//! Whether, and how, the tokens of another application are accepted.

use std::{path::PathBuf, time::Duration};

use protocol::Secret;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::{MIN_SECRET, reader::Reader};

/// The tokens of another application.
#[derive(Debug, Clone)]
pub struct ExternalTokensConfig {
    /// `EXTERNAL_TOKENS_SECRET` or `EXTERNAL_TOKENS_JWKS_URL`: what they are checked with.
    pub keys: ExternalKeys,
    /// `EXTERNAL_TOKENS_ISSUER`: what `iss` must be.
    pub issuer: Option<String>,
    /// `EXTERNAL_TOKENS_AUDIENCE`: what `aud` must have one of, with commas between.
    pub audiences: Vec<String>,
    /// `EXTERNAL_TOKENS_LEEWAY_SECONDS`: how far clocks may differ; 60 by default.
    pub leeway: Duration,
    /// `EXTERNAL_TOKENS_USER_CLAIM`: the issuer's name for the user; `sub` by default.
    pub user_claim: ClaimName,
    /// `EXTERNAL_TOKENS_NAME_CLAIM`: the name that others read; `name` by default.
    pub name_claim: ClaimName,
    /// `EXTERNAL_TOKENS_ROLE_CLAIM`: the user's role or roles there. Without it tokens give no roles.
    pub role_claim: Option<ClaimName>,
    /// `EXTERNAL_TOKENS_ADMIN_ROLES`: those that make an administrator, with commas between.
    pub admin_roles: Vec<String>,
    /// `EXTERNAL_TOKENS_STAFF_ROLES`: those that make staff, with commas between.
    pub staff_roles: Vec<String>,
    /// `TLS_CA_FILE`: authorities that the URL's server may have its certificate from, beside the system's.
    pub tls_ca_file: Option<PathBuf>,
}

/// What the signatures of tokens are checked with.
#[derive(Debug, Clone)]
pub enum ExternalKeys {
    /// A secret that the issuer signs with too (HS256).
    Shared(Secret),
    /// The URL of the issuer's public keys (RS256, ES256, EdDSA).
    Published(Url),
}

/// Where a claim is: its name, or a JSON Pointer (RFC 6901) if it begins with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(String);

impl From<&str> for ClaimName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl ClaimName {
    /// As it was configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else {
            return claims.get(&self.0);
        };
        let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        let first = first.replace("~1", "/").replace("~0", "~");
        claims.get(&first)?.pointer(rest)
    }
}

const SECRET: &str = "EXTERNAL_TOKENS_SECRET";
const URL: &str = "EXTERNAL_TOKENS_JWKS_URL";
const ISSUER: &str = "EXTERNAL_TOKENS_ISSUER";
const AUDIENCE: &str = "EXTERNAL_TOKENS_AUDIENCE";
const LEEWAY: &str = "EXTERNAL_TOKENS_LEEWAY_SECONDS";
const USER_CLAIM: &str = "EXTERNAL_TOKENS_USER_CLAIM";
const NAME_CLAIM: &str = "EXTERNAL_TOKENS_NAME_CLAIM";
const ROLE_CLAIM: &str = "EXTERNAL_TOKENS_ROLE_CLAIM";
const ADMIN_ROLES: &str = "EXTERNAL_TOKENS_ADMIN_ROLES";
const STAFF_ROLES: &str = "EXTERNAL_TOKENS_STAFF_ROLES";

impl Reader<'_> {
    /// `None` if no tokens of others are accepted, or if something is wrong.
    pub(super) fn external_tokens(
        &mut self,
        production: bool,
        tls_ca_file: Option<PathBuf>,
    ) -> Option<ExternalTokensConfig> {
        let (secret, url) = (self.text(SECRET), self.text(URL));
        let leeway = self.number(LEEWAY, 0, 300, 60);
        let audiences = self.list(AUDIENCE);
        let (admin_roles, staff_roles) = (self.list(ADMIN_ROLES), self.list(STAFF_ROLES));
        let issuer = self.text(ISSUER);
        let role_claim = self.claim(ROLE_CLAIM);
        let (user_claim, name_claim) = (self.claim(USER_CLAIM), self.claim(NAME_CLAIM));
        let keys = match (secret, url) {
            (None, None) => {
                for name in [
                    ISSUER,
                    AUDIENCE,
                    LEEWAY,
                    USER_CLAIM,
                    NAME_CLAIM,
                    ROLE_CLAIM,
                    ADMIN_ROLES,
                    STAFF_ROLES,
                ] {
                    if self.text(name).is_some() {
                        self.errors.push(format!(
                            "{name}: expected only beside {SECRET} or {URL}, one of which turns on the tokens of another \
                             application"
                        ));
                    }
                }
                return None;
            }
            (Some(_), Some(_)) => {
                return self.wrong(SECRET, &format!("either this or {URL}, not both"));
            }
            (Some(secret), None) => self.shared_secret(secret),
            (None, Some(url)) => self.jwks_url(&url, production),
        };
        if self.text(URL).is_some() {
            // The issuer signs tokens for all its applications, and for other purposes, with the same keys.
            for (name, is_missing) in [(ISSUER, issuer.is_none()), (AUDIENCE, audiences.is_empty())]
            {
                if is_missing {
                    self.errors.push(format!("{name}: expected beside {URL}"));
                }
            }
        }
        match &role_claim {
            None if !admin_roles.is_empty() || !staff_roles.is_empty() => self.errors.push(
                format!("{ROLE_CLAIM}: expected beside {ADMIN_ROLES} and {STAFF_ROLES}"),
            ),
            Some(_) if admin_roles.is_empty() && staff_roles.is_empty() => {
                self.errors.push(format!(
                    "{ADMIN_ROLES}: expected beside {ROLE_CLAIM}, this or {STAFF_ROLES}"
                ));
            }
            _ => {}
        }
        Some(ExternalTokensConfig {
            keys: keys?,
            issuer,
            audiences,
            leeway: Duration::from_secs(leeway as u64),
            user_claim: user_claim.unwrap_or_else(|| "sub".into()),
            name_claim: name_claim.unwrap_or_else(|| "name".into()),
            role_claim,
            admin_roles,
            staff_roles,
            tls_ca_file,
        })
    }

    fn shared_secret(&mut self, secret: String) -> Option<ExternalKeys> {
        if secret.len() < MIN_SECRET {
            return self.wrong(SECRET, "at least 32 bytes");
        }
        if self.text("JWT_SECRET").as_ref() == Some(&secret) {
            // Whoever has it would sign tokens for any user of this server.
            return self.wrong(SECRET, "another secret than JWT_SECRET");
        }
        Some(ExternalKeys::Shared(secret.into()))
    }

    fn jwks_url(&mut self, text: &str, production: bool) -> Option<ExternalKeys> {
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        });
        let Some(url) = url else {
            let expected = "a URL such as https://issuer.example/.well-known/jwks.json";
            return self.wrong(URL, expected);
        };
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if production && url.scheme() == "http" && !is_here {
            // Whoever is between could bring keys of their own.
            return self.wrong(URL, "https:// in production, unless it is this machine");
        }
        Some(ExternalKeys::Published(url))
    }

    fn claim(&mut self, name: &str) -> Option<ClaimName> {
        let text = self.text(name)?;
        if text == "/" {
            return self.wrong(name, "the name of a claim, or /outer/inner of a nested one");
        }
        Some(ClaimName(text))
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let values: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return self.wrong(name, "values with commas between");
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    const SHARED: (&str, &str) = (SECRET, "shared with the other application");
    const HTTPS: (&str, &str) = (URL, "https://issuer.example/keys");

    fn read(variables: &[(&str, &str)]) -> Result<Option<ExternalTokensConfig>, String> {
        let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name);
        Config::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
            .map(|config| config.external_tokens)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_secret_or_a_url_turns_them_on() {
        assert!(read(&[]).unwrap().is_none());
        let shared = read(&[SHARED]).unwrap().unwrap();
        assert!(matches!(shared.keys, ExternalKeys::Shared(_)));
        assert_eq!(
            (shared.user_claim.as_str(), shared.leeway.as_secs()),
            ("sub", 60)
        );
        assert!(!format!("{shared:?}").contains(SHARED.1));
        let all = [
            HTTPS,
            (ISSUER, "https://issuer.example/"),
            (AUDIENCE, "chat, shop"),
            (LEEWAY, "0"),
            (USER_CLAIM, "uid"),
            (NAME_CLAIM, "/profile/name"),
            (ROLE_CLAIM, "https://app.example/roles"),
            (ADMIN_ROLES, "owner,root"),
            (STAFF_ROLES, "clerk"),
        ];
        let published = read(&all).unwrap().unwrap();
        assert_eq!(published.audiences, ["chat", "shop"]);
        assert_eq!(published.admin_roles, ["owner", "root"]);
        assert_eq!(published.leeway.as_secs(), 0);
    }

    #[test]
    fn all_mistakes_are_named() {
        let named = |variables: &[(&str, &str)]| {
            let errors = read(variables).unwrap_err();
            let mut named: Vec<String> = errors
                .lines()
                .filter_map(|line| line.trim().split_once(':'))
                .map(|(name, _)| name.trim_start_matches("- ").to_owned())
                .filter(|name| name.starts_with("EXTERNAL"))
                .collect();
            named.sort_unstable();
            named
        };
        assert_eq!(named(&[(ISSUER, "x")]), [ISSUER]);
        assert_eq!(named(&[SHARED, HTTPS]), [SECRET]);
        assert_eq!(named(&[HTTPS]), [AUDIENCE, ISSUER]);
        assert_eq!(
            named(&[(SECRET, "short"), (LEEWAY, "301")]),
            [LEEWAY, SECRET]
        );
        assert_eq!(named(&[SHARED, ("JWT_SECRET", SHARED.1)]), [SECRET]);
        assert_eq!(named(&[SHARED, (ADMIN_ROLES, "a")]), [ROLE_CLAIM]);
        assert_eq!(named(&[SHARED, (ROLE_CLAIM, "roles")]), [ADMIN_ROLES]);
        assert_eq!(named(&[SHARED, (AUDIENCE, "a,,b")]), [AUDIENCE]);
        assert_eq!(named(&[SHARED, (USER_CLAIM, "/")]), [USER_CLAIM]);
        let of_issuer = [(ISSUER, "i"), (AUDIENCE, "a")];
        let url = |url, production| {
            let environment = ("TERTULIA_ENV", production);
            let single = ("SINGLE_INSTANCE", "true");
            read(&[(URL, url), of_issuer[0], of_issuer[1], environment, single]).is_ok()
        };
        assert!(url("http://issuer.example/keys", "development"));
        assert!(!url("http://issuer.example/keys", "production"));
        assert!(url("http://127.0.0.1:9/keys", "production"));
        assert!(url("http://localhost/keys", "production"));
        for wrong in [
            "issuer.example",
            "ftp://a/b",
            "https://",
            "https://u:p@a/",
            "https://a/#b",
        ] {
            assert!(!url(wrong, "development"), "{wrong}");
        }
    }

    #[test]
    fn claims_are_found_by_name_or_pointer() {
        let claims = json!({ "a": 1, "b/c": 2, "d": { "e": [3] }, "https://x/y": 4 });
        let claims = claims.as_object().unwrap();
        let find = |name: &str| ClaimName::from(name).find(claims).cloned();
        assert_eq!(find("a"), Some(json!(1)));
        assert_eq!(find("https://x/y"), Some(json!(4)));
        assert_eq!(find("b/c"), Some(json!(2)));
        assert_eq!(find("/b~1c"), Some(json!(2)));
        assert_eq!(find("/d/e/0"), Some(json!(3)));
        assert_eq!(find("/d"), Some(json!({ "e": [3] })));
        assert_eq!(find("/d/f"), None);
        assert_eq!(find("d.e"), None);
    }
}
