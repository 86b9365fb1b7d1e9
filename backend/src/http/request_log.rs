//! One line in the log for each request. Only the route's pattern is written, never the query or the ids in the path: a
//! query may hold a polling connection's `sid`, which lets in whoever knows it.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};

/// Serves a request and logs it.
pub async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let response = next.run(request).await;
    let status = response.status();
    let ms = started.elapsed().as_millis() as u64;
    // Probes, polls and pages that work would drown the rest.
    if status.as_u16() < 400 && !path.starts_with("/api/v1/") {
        tracing::debug!(%method, path, status = status.as_u16(), ms, "request");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), ms, "request");
    }
    response
}
