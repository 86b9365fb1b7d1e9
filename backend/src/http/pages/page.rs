//! The built-in page: a small chat client without a build step, so that a server that just started can be tried.

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;

use super::{super::request::Path, asset::Asset};
use crate::error::AppError;

/// Everything comes from this server, and nothing is written in the page itself that could run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../../frontend-assets/builtin/", $name))
    };
}

macro_rules! script {
    ($name:literal) => {
        (
            $name,
            Asset::new("text/javascript; charset=utf-8", text!($name)),
        )
    };
}

/// What the page loads, by name.
static FILES: LazyLock<[(&str, Asset); 12]> = LazyLock::new(|| {
    [
        script!("app.js"),
        script!("composer.js"),
        script!("dialogs.js"),
        script!("kept.js"),
        script!("messages.js"),
        script!("names.js"),
        script!("outbox.js"),
        script!("polling.js"),
        script!("room.js"),
        script!("session.js"),
        script!("socket.js"),
        (
            "style.css",
            Asset::new("text/css; charset=utf-8", text!("style.css")),
        ),
    ]
});

pub async fn html(headers: HeaderMap) -> Response {
    static HTML: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("text/html; charset=utf-8", text!("index.html")).with_policy(POLICY)
    });
    HTML.answer(&headers)
}

pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, AppError> {
    let file = FILES.iter().find(|(file, _)| *file == name);
    file.map(|(_, asset)| asset.answer(&headers))
        .ok_or_else(|| AppError::not_found("file"))
}
