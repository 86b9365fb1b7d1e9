//! One line in the log for each request. Only the route's pattern is written, never the query or the ids in the path: a
//! query may hold a polling connection's `sid`, which lets in whoever knows it.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use protocol::ErrorCode;

use crate::{app::SharedApp, metrics::Channel};

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
