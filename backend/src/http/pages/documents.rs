//! What describes the API: for programs as OpenAPI and AsyncAPI, for people as pages. Built when first asked for.

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;

use super::{asset::Asset, events};

pub async fn openapi(headers: HeaderMap) -> Response {
    static OPENAPI: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("application/json", protocol::openapi().to_string()));
    OPENAPI.answer(&headers)
}

pub async fn asyncapi(headers: HeaderMap) -> Response {
    static ASYNCAPI: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("application/json", protocol::asyncapi().to_string()));
    ASYNCAPI.answer(&headers)
}

/// The page of the live events.
pub async fn events(headers: HeaderMap) -> Response {
    static EVENTS: LazyLock<Asset> = LazyLock::new(events::page);
    EVENTS.answer(&headers)
}
