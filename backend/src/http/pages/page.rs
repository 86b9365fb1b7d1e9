//! Pages without a script, in one style.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::asset::Asset;

const STYLE: &str = include_str!("page.css");

/// A page that loads nothing. Both `title` and `body` are HTML.
pub fn page(title: &str, body: &str) -> Asset {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body>{body}</body></html>\n"
    );
    Asset::new("text/html; charset=utf-8", html).with_policy(&policy)
}
