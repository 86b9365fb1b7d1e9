//! What `frontend-assets/web` was built into when this server was, held in the binary: the web client, and the viewer of
//! the API's routes.
//!
//! What must stay true: a name that holds a hash is never another file, so browsers keep it for good; everything else
//! they ask for each time. Paths that only the client knows are its page; those of the API stay the API's.

use std::{collections::HashMap, sync::LazyLock};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, Method, header::ACCEPT};

use super::{asset::Asset, page};
use crate::error::AppError;

const INDEX: &str = "index.html";

const API_VIEWER: &str = "api-docs.html";

/// What the pages may do. Everything comes from this server, but for pictures that are about to be uploaded, which are shown
/// from where they are. Nothing inline runs or styles.
const POLICIES: [(&str, &str); 2] = [
    (
        INDEX,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    // Its style has pictures in it, and it makes HTML of the Markdown in the document.
    (
        API_VIEWER,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// Where files lie whose names hold a hash of their contents.
const HASHED: &str = "assets/";

/// What isn't the client's, whatever a browser asks for.
const NOT_PAGES: [&str; 4] = ["api/", "socket.io/", "health", HASHED];

type Files = HashMap<&'static str, Asset>;

static FILES: LazyLock<Files> =
    LazyLock::new(|| files(include!(concat!(env!("OUT_DIR"), "/web_client_files.rs"))));

/// The page of the client.
pub async fn html(headers: HeaderMap) -> Response {
    page_of(&FILES, INDEX).answer(&headers)
}

/// The page on which the API's routes can be read and tried.
pub async fn api_viewer(headers: HeaderMap) -> Response {
    page_of(&FILES, API_VIEWER).answer(&headers)
}

/// A page of the build. Where nothing was built, a page that says how it is.
fn page_of<'a>(files: &'a Files, name: &str) -> &'a Asset {
    static NOT_BUILT: LazyLock<Asset> =
        LazyLock::new(|| page::page("Tertulia", include_str!("not_built.html")));
    files.get(name).unwrap_or(&NOT_BUILT)
}

/// A file of the client, or its page at a path that it knows.
///
/// # Errors
/// `not_found` for everything else.
pub async fn file(request: Request) -> Result<Response, AppError> {
    answer(&FILES, &request).ok_or_else(|| AppError::not_found("route"))
}

fn answer(files: &Files, request: &Request) -> Option<Response> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let path = request.uri().path().trim_start_matches('/');
    let file = files
        .get(path)
        .or_else(|| is_page(path, request.headers()).then(|| files.get(INDEX))?)?;
    Some(file.answer(request.headers()))
}

/// True if a browser navigates to this path.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let accepts_html = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.to_ascii_lowercase().contains("text/html"));
    accepts_html && !NOT_PAGES.iter().any(|prefix| path.starts_with(prefix))
}

/// The files of a build. Those that end in `.br` and `.gz` are others, compressed.
fn files(built: &[(&'static str, &'static [u8])]) -> Files {
    let bodies: HashMap<_, _> = built.iter().copied().collect();
    let encoded = |name: &str, suffix| bodies.get(format!("{name}{suffix}").as_str()).copied();
    built
        .iter()
        .filter(|(name, _)| !name.ends_with(".br") && !name.ends_with(".gz"))
        .map(|&(name, body)| {
            let mut asset = Asset::new(content_type(name), body);
            for (encoding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
                if let Some(body) = encoded(name, suffix) {
                    asset = asset.encoded(encoding, body);
                }
            }
            if let Some((_, policy)) = POLICIES.iter().find(|(page, _)| *page == name) {
                asset = asset.with_policy(policy);
            } else if name.starts_with(HASHED) {
                asset = asset.unchanging();
            }
            (name, asset)
        })
        .collect()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, VARY,
        },
    };
    use http_body_util::BodyExt;

    use super::*;

    fn built() -> Files {
        files(&[
            ("index.html", b"<!doctype html>"),
            ("assets/index-1a2b.js", b"plain"),
            ("assets/index-1a2b.js.br", b"brotli"),
            ("assets/index-1a2b.js.gz", b"gzip"),
        ])
    }

    fn get(path: &str, headers: &[(http::HeaderName, &str)]) -> Option<Response> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        answer(&built(), &request.body(Body::empty()).unwrap())
    }

    async fn body(response: Response) -> Vec<u8> {
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec()
    }

    #[tokio::test]
    async fn hashed_files_are_kept_for_good_and_come_compressed() {
        for (accepted, encoding, expected) in [
            ("gzip, deflate, br", Some("br"), "brotli"),
            ("gzip, br;q=0", Some("gzip"), "gzip"),
            ("identity", None, "plain"),
        ] {
            let response = get("/assets/index-1a2b.js", &[(ACCEPT_ENCODING, accepted)]).unwrap();
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], "text/javascript; charset=utf-8");
            assert_eq!(
                headers[CACHE_CONTROL],
                "public, max-age=31536000, immutable"
            );
            assert_eq!(headers[VARY], "origin, accept-encoding");
            let told = headers.get(CONTENT_ENCODING);
            assert_eq!(told.map(|told| told.to_str().unwrap()), encoding);
            assert_eq!(body(response).await, expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn the_clients_own_paths_are_its_page() {
        let browser = [(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")];
        let page = get("/rooms/r1", &browser).unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
        assert_eq!(body(page).await, b"<!doctype html>");
        for path in [
            "/api/v1/none",
            "/api/none",
            "/socket.io/none",
            "/health/none",
            "/assets/gone-3c4d.js",
        ] {
            assert!(get(path, &browser).is_none(), "{path}");
        }
        assert!(get("/rooms/r1", &[(ACCEPT, "application/json")]).is_none());
    }

    #[tokio::test]
    async fn without_a_build_a_page_says_how_to_get_one() {
        let request = Request::get("/rooms/r1").header(ACCEPT, "text/html");
        assert!(answer(&files(&[]), &request.body(Body::empty()).unwrap()).is_none());
        let nothing = files(&[]);
        for name in [INDEX, API_VIEWER] {
            let page = page_of(&nothing, name).answer(&HeaderMap::new());
            assert_eq!(page.status(), StatusCode::OK);
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
            let html = String::from_utf8(body(page).await).unwrap();
            for words in [
                "Node.js</a> 20.19",
                "make run",
                "/api/docs/events",
                "/health",
            ] {
                assert!(html.contains(words), "{words}");
            }
            assert!(!html.contains("<script"));
        }
    }

    #[test]
    fn the_pages_run_only_the_servers_own_scripts() {
        let pages = files(&[(INDEX, b""), (API_VIEWER, b"")]);
        for name in [INDEX, API_VIEWER] {
            let page = page_of(&pages, name).answer(&HeaderMap::new());
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
        }
    }
}
