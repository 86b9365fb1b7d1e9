//! One line in the log for each request, with the request's id. Only the route's pattern is written, never the query or the ids in
//! the path: a query may hold a polling connection's `sid`, which lets in whoever knows it.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::ErrorCode;
use uuid::Uuid;

use crate::{app::SharedApp, metrics::Channel};

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a proxy gave.
const REQUEST_ID_MAX: usize = 64;

/// The id of a request: in its answer, the log and the audit log.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The id that a trusted proxy gave, or a new one. From anybody else the header didn't come this far.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let given =
            given.filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(plain));
        Self(match given {
            Some(id) => id.into(),
            None => {
                let mut buffer = Uuid::encode_buffer();
                let id: &str = Uuid::now_v7().simple().encode_lower(&mut buffer);
                id.into()
            }
        })
    }
}

/// Serves a request and logs it.
pub async fn log(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    let RequestId(id) = id;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    let ms = started.elapsed().as_millis() as u64;
    // Probes, polls and pages that work would drown the rest.
    if status.as_u16() < 400 && !path.starts_with("/api/v1/") {
        tracing::debug!(%method, path, status = status.as_u16(), ms, %id, "request");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), ms, %id, "request");
    }
    response
}

/// Serves a request and counts it among those of its route.
pub async fn observe(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics
        .answered(&method, route, response.status(), started.elapsed());
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        app.metrics.refused(Channel::Http, *code);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        let id = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().unwrap());
            RequestId::of(&headers).0
        };
        assert_eq!(&*id("a1-B_2.c"), "a1-B_2.c");
        for given in ["", "a b", "a\tb", "{\"a\"}", &"x".repeat(65)] {
            assert_ne!(&*id(given), given);
            assert_eq!(id(given).len(), 32);
        }
        assert_ne!(RequestId::of(&HeaderMap::new()).0, id(""));
    }
}
