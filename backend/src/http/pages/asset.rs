//! A document that never changes while the server runs. Clients keep it and ask each time whether it is still the one.

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, IF_NONE_MATCH, VARY,
    },
};
use sha2::{Digest, Sha256};

/// A document with its media type and tag.
#[derive(Clone)]
pub struct Asset {
    content_type: &'static str,
    body: Bytes,
    /// The same in other encodings, the best first.
    encoded: Vec<(&'static str, Bytes)>,
    /// Weak: the same document may be compressed or not.
    tag: Option<HeaderValue>,
    policy: Option<HeaderValue>,
    caching: HeaderValue,
}

impl Asset {
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..12]);
        Self {
            content_type,
            body,
            encoded: Vec::new(),
            caching: HeaderValue::from_static("no-cache"),
            tag: HeaderValue::try_from(format!("W/\"{hash}\"")).ok(),
            policy: None,
        }
    }

    /// The same with what a page may load and do, in place of nothing at all.
    pub fn with_policy(self, policy: &str) -> Self {
        Self {
            policy: HeaderValue::from_str(policy).ok(),
            ..self
        }
    }

    /// The same with a copy that is compressed already, worse than those given before.
    pub fn encoded(mut self, encoding: &'static str, body: impl Into<Bytes>) -> Self {
        self.encoded.push((encoding, body.into()));
        self
    }

    /// The same, to be kept for good: its address changes whenever it does.
    pub fn unchanging(self) -> Self {
        Self {
            caching: HeaderValue::from_static("public, max-age=31536000, immutable"),
            ..self
        }
    }

    /// The document, or word that the client has it already.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, self.caching.clone());
        if !self.encoded.is_empty() {
            headers.insert(VARY, HeaderValue::from_static("origin, accept-encoding"));
        }
        if let Some(tag) = &self.tag {
            headers.insert(ETAG, tag.clone());
        }
        if let Some(policy) = &self.policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
        }
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let accepted = self.encoded.iter().find(|(name, _)| accepts(request, name));
        let body = match accepted {
            Some((encoding, body)) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
                body
            }
            None => &self.body,
        };
        (headers, body.clone()).into_response()
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let Some(tag) = self.tag.as_ref().and_then(|tag| tag.to_str().ok()) else {
            return false;
        };
        let known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok());
        known
            .flat_map(|list| list.split(','))
            .any(|known| known.trim() == tag || known.trim() == "*")
    }
}

/// Whether a client takes an encoding by its name; without knowing weights, but for those it refuses.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    let given = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|given| {
        let (name, weight) = given.split_once(';').unwrap_or((given, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.trim().parse().ok())
            == Some(0.0);
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_document_isnt_sent_again() {
        let asset = Asset::new("text/plain", "abc").with_policy("default-src 'self'");
        let first = asset.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(
            first.headers()[CONTENT_SECURITY_POLICY],
            "default-src 'self'"
        );
        let tag = first.headers()[ETAG].clone();
        let ask = |tag: HeaderValue| {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tag)]);
            asset.answer(&headers).status()
        };
        assert_eq!(ask(tag.clone()), StatusCode::NOT_MODIFIED);
        let several = format!("\"x\", {}", tag.to_str().unwrap());
        assert_eq!(ask(several.parse().unwrap()), StatusCode::NOT_MODIFIED);
        assert_eq!(ask(HeaderValue::from_static("W/\"x\"")), StatusCode::OK);
        assert_ne!(
            tag,
            Asset::new("text/plain", "abd")
                .answer(&HeaderMap::new())
                .headers()[ETAG]
        );
    }
}
