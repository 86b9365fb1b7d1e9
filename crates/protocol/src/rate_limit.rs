//! Rate limits as administrators see them.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ApiKeyId, UserId};
use crate::request::{Invalid, Request};
use crate::schema::absent_not_null;

/// Names whose rate limits are meant: exactly one of `userId`, `address` and `apiKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct RateLimitSubject {
    /// A user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// An IP address. Of an IPv6 address the first 64 bits count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// The id of an API key: 16 hexadecimal digits, or `publish` for those of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// With an address: the username whose failed sign-ins from there are meant too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The only tier that is meant; all tiers of the subject by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}

impl Request for RateLimitSubject {
    fn validate(&self) -> Result<(), Invalid> {
        let subjects = [
            self.user_id.is_some(),
            self.address.is_some(),
            self.api_key.is_some(),
        ];
        if subjects.into_iter().filter(|given| *given).count() != 1 {
            let expected = "expected exactly one of userId, address and apiKey";
            return Err(Invalid::new("payload", expected));
        }
        if let Some(key) = &self.api_key
            && !ApiKeyId::is_form_of(key)
        {
            let expected = "expected the id of a key, 16 hexadecimal digits, or publish";
            return Err(Invalid::new("apiKey", expected));
        }
        if self.username.is_some() && self.address.is_none() {
            return Err(Invalid::new("username", "is only meant with an address"));
        }
        Ok(())
    }
}

/// What is counted in one tier of rate limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = absent_not_null)]
pub struct RateLimitState {
    /// The tier.
    pub tier: String,
    /// The most in one window.
    pub limit: u32,
    /// The length of the window, in seconds.
    pub window_seconds: u64,
    /// What counts now, permits that instances hold in reserve among it.
    pub used: u32,
    /// In how many milliseconds the next is allowed, if none is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// False while Redis is away: then this is what the answering instance has counted.
    pub complete: bool,
}

/// The rate limits of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitStates {
    /// By tier; tiers that are off are absent.
    pub limits: Vec<RateLimitState>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::read_query;

    #[test]
    fn one_subject_is_named() {
        let read = |query: &str| read_query::<RateLimitSubject>(query).map_err(|wrong| wrong.field);
        assert!(read("userId=ann&tier=messages").is_ok());
        assert!(read("address=2001:db8::1&username=ann").is_ok());
        for key in ["publish", "0123456789abcdef"] {
            assert!(read(&format!("apiKey={key}")).is_ok());
        }
        for key in [
            "tk_0123456789abcdef_c2VjcmV0",
            "0123456789abcdeF",
            "0123456789abcde",
            "",
        ] {
            let wrong = Err("apiKey".to_owned());
            assert_eq!(read(&format!("apiKey={key}")).map(drop), wrong, "{key}");
        }
        assert_eq!(read(""), Err("payload".to_owned()));
        assert_eq!(
            read("userId=ann&address=192.0.2.1"),
            Err("payload".to_owned())
        );
        assert_eq!(read("userId=ann&username=ann"), Err("username".to_owned()));
        assert_eq!(read("address=home"), Err("address".to_owned()));
    }
}
