//! The built-in page: a small chat client without a build step, so that a server that just started can be tried.

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;

use super::asset::Asset;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../../frontend-assets/builtin/", $name))
    };
}

/// Everything comes from this server, and nothing is written in the page itself that could run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub async fn html(headers: HeaderMap) -> Response {
    static HTML: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("text/html; charset=utf-8", file!("index.html")).with_policy(POLICY)
    });
    HTML.answer(&headers)
}

pub async fn script(headers: HeaderMap) -> Response {
    static SCRIPT: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("text/javascript; charset=utf-8", file!("app.js")));
    SCRIPT.answer(&headers)
}

pub async fn style(headers: HeaderMap) -> Response {
    static STYLE: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("text/css; charset=utf-8", file!("style.css")));
    STYLE.answer(&headers)
}
