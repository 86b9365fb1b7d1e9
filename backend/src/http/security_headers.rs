//! Headers that tell browsers what this server's answers are not: pages to embed, scripts, referrers.

use axum::response::Response;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use crate::config::Config;

/// What isn't a page may load and do nothing.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// What tells browsers to use this host over TLS alone, if that is configured and a trusted proxy said that the request came
/// over TLS. From anybody else the header didn't come this far.
pub fn hsts(config: &Config, headers: &HeaderMap) -> Option<HeaderValue> {
    if config.hsts_seconds == 0 {
        return None;
    }
    let schemes = headers.get_all("x-forwarded-proto").iter().next_back()?;
    let nearest = schemes.to_str().ok()?.rsplit(',').next()?.trim();
    nearest
        .eq_ignore_ascii_case("https")
        .then(|| HeaderValue::from_str(&format!("max-age={}", config.hsts_seconds)).ok())?
}

/// Adds the headers to an answer.
pub fn add(response: &mut Response, hsts: Option<HeaderValue>) {
    let headers = response.headers_mut();
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
}
