//! What `frontend-assets/web` was built into when this server was, held in the binary: the web client, and the viewer of
//! the API's routes.
//!
//! What must stay true: a name that holds a hash is never another file, so browsers keep it for good; everything else
//! they ask for each time. Paths that only the client knows are its page; those of the API stay the API's.

use std::{collections::HashMap, sync::LazyLock};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, Method, header::ACCEPT};
use url::Url;

use super::{asset::Asset, page};
use crate::{config::MediaConfig, error::AppError};

const INDEX: &str = "index.html";

const API_VIEWER: &str = "api-docs.html";

/// What the page of the client may do. All that runs or styles comes from this server, and nothing inline. Pictures come from there
/// too, from the CDN that stands in front of them, or from where they are about to be uploaded from; a bucket takes what is uploaded
/// and shows nothing.
fn client_policy(media: &MediaConfig) -> String {
    let bucket = source(media.s3.as_ref().and_then(storage::S3Config::upload_base));
    let cdn = source(media.cdn_url.as_ref().map(crate::media_urls::below));
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{bucket}; img-src 'self' blob:{cdn}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
}

/// What the page with the API's routes may do. Its style has pictures in it, and it makes HTML of the Markdown in the document.
const VIEWER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A source of a policy, after others: everything below a URL. What would end it is escaped.
fn source(base: Option<Url>) -> String {
    base.map_or_else(String::new, |base| {
        let base = base.as_str().replace(';', "%3B").replace(',', "%2C");
        format!(" {base}")
    })
}

/// Where files lie whose names hold a hash of their contents.
const HASHED: &str = "assets/";

/// What isn't the client's, whatever a browser asks for.
const NOT_PAGES: [&str; 4] = ["api/", "socket.io/", "health", HASHED];

type Files = HashMap<&'static str, Asset>;

static FILES: LazyLock<Files> =
    LazyLock::new(|| files(include!(concat!(env!("OUT_DIR"), "/web_client_files.rs"))));

/// The client, with what its page may do on this server.
pub struct WebClient {
    page: Asset,
}

impl WebClient {
    pub fn new(media: &MediaConfig) -> Self {
        Self::of(&FILES, media)
    }

    fn of(files: &Files, media: &MediaConfig) -> Self {
        let page = match files.get(INDEX) {
            Some(index) => index.clone().with_policy(&client_policy(media)),
            None => NOT_BUILT.clone(),
        };
        Self { page }
    }

    /// The page of the client.
    pub fn page(&self, headers: &HeaderMap) -> Response {
        self.page.answer(headers)
    }

    /// A file of the client, or its page at a path that it knows.
    ///
    /// # Errors
    /// `not_found` for everything else.
    pub fn file(&self, request: &Request) -> Result<Response, AppError> {
        self.answer(&FILES, request)
            .ok_or_else(|| AppError::not_found("route"))
    }

    fn answer(&self, files: &Files, request: &Request) -> Option<Response> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let path = request.uri().path().trim_start_matches('/');
        let is_built = files.contains_key(INDEX);
        let is_page = path == INDEX || is_page(path, request.headers());
        let asset = match files.get(path).filter(|_| path != INDEX) {
            Some(file) => file,
            None if is_page && is_built => &self.page,
            None => return None,
        };
        Some(asset.answer(request.headers()))
    }
}

/// The page on which the API's routes can be read and tried.
pub async fn api_viewer(headers: HeaderMap) -> Response {
    api_viewer_of(&FILES).answer(&headers)
}

fn api_viewer_of(files: &Files) -> &Asset {
    files.get(API_VIEWER).unwrap_or(&NOT_BUILT)
}

/// Where nothing was built, a page that says how it is.
static NOT_BUILT: LazyLock<Asset> =
    LazyLock::new(|| page::page("Tertulia", include_str!("not_built.html")));

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
            if name == API_VIEWER {
                asset = asset.with_policy(VIEWER_POLICY);
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
        let files = built();
        let client = WebClient::of(&files, &media(&[]));
        client.answer(&files, &request.body(Body::empty()).unwrap())
    }

    fn media(variables: &[(&str, &str)]) -> MediaConfig {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        crate::config::Config::read(lookup).unwrap().media
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
        let nothing = files(&[]);
        let client = WebClient::of(&nothing, &media(&[]));
        let request = request.body(Body::empty()).unwrap();
        assert!(client.answer(&nothing, &request).is_none());
        let none = HeaderMap::new();
        for page in [client.page(&none), api_viewer_of(&nothing).answer(&none)] {
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
        let none = HeaderMap::new();
        for page in [
            WebClient::of(&pages, &media(&[])).page(&none),
            api_viewer_of(&pages).answer(&none),
        ] {
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
        }
    }

    #[test]
    fn the_page_may_call_the_bucket_and_show_what_the_cdn_has() {
        const BUCKET: [(&str, &str); 3] = [
            ("S3_BUCKET", "pictures"),
            ("S3_ACCESS_KEY_ID", "id"),
            ("S3_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let path_style = ("S3_PATH_STYLE", "true");
        let inside = ("S3_ENDPOINT", "http://10.0.0.5:9000");
        let outside = ("S3_PUBLIC_ENDPOINT", "https://files.example.org");
        let below = (
            "S3_PUBLIC_ENDPOINT",
            "https://example.org:8443/s3;script-src,*",
        );
        let cdn = ("CDN_URL", "https://cdn.example.org/chat");
        for (variables, connects, shows) in [
            (&[][..], "", ""),
            (
                &[("CDN_URL", "http://127.0.0.1:80/")],
                "",
                " http://127.0.0.1/media/",
            ),
            (&BUCKET, " https://pictures.s3.us-east-1.amazonaws.com/", ""),
            (
                &[&BUCKET[..], &[path_style]].concat(),
                " https://s3.us-east-1.amazonaws.com/pictures/",
                "",
            ),
            (
                &[&BUCKET[..], &[inside, path_style, cdn]].concat(),
                " http://10.0.0.5:9000/pictures/",
                " https://cdn.example.org/chat/media/",
            ),
            // What only the server reaches isn't named.
            (
                &[
                    &BUCKET[..],
                    &[("S3_ENDPOINT", "http://s3.internal"), outside],
                ]
                .concat(),
                " https://pictures.files.example.org/",
                "",
            ),
            // Nor does an address say more than itself.
            (
                &[&BUCKET[..], &[below, path_style]].concat(),
                " https://example.org:8443/s3%3Bscript-src%2C*/pictures/",
                "",
            ),
        ] {
            let pages = files(&[(INDEX, b"")]);
            let client = WebClient::of(&pages, &media(variables));
            let page = client.page(&HeaderMap::new());
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            let connects = format!("; connect-src 'self'{connects}; ");
            let shows = format!("; img-src 'self' blob:{shows}; ");
            assert!(policy.contains(&connects), "{policy}");
            assert!(policy.contains(&shows), "{policy}");
            assert!(
                policy.contains("; script-src 'self'; style-src 'self'; "),
                "{policy}"
            );
        }
    }
}
