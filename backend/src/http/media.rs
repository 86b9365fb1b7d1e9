//! `/media`: images and files, for whoever has a URL that a message gave them.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
    },
};
use protocol::{MediaQuery, Timestamp};
use storage::{ByteRange, Object};

use super::request::{Path, Query};
use crate::{
    app::SharedApp,
    error::AppError,
    media::{self, Delivered, Wanted},
};

/// Even if a browser is made to take it for a page, it is one of no origin that may do nothing.
const NOTHING: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

const OCTETS: &str = "application/octet-stream";

/// An image that a page of another origin shows is no secret of this one: its URL is.
const CROSS_ORIGIN: (HeaderName, HeaderValue) = (
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderValue::from_static("cross-origin"),
);

pub async fn read(
    State(app): State<SharedApp>,
    Path(key): Path<String>,
    Query(query): Query<MediaQuery>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let media = app.media()?;
    let wanted = Wanted::behind(media, &key, &query)?;
    let (is_copy, tag) = (wanted.is_copy(), format!("\"{}\"", wanted.tag()));
    let mut sent = HeaderMap::new();
    sent.insert(CACHE_CONTROL, caching(&query));
    sent.insert(CONTENT_SECURITY_POLICY, NOTHING);
    sent.insert(CROSS_ORIGIN.0, CROSS_ORIGIN.1);
    sent.insert(
        ETAG,
        HeaderValue::from_str(&tag).map_err(AppError::internal)?,
    );
    // The tag names the content, which is the same for ever, so nothing is read or made to know it. But only what is still there may
    // be kept for as long again.
    if is_known(&headers, IF_NONE_MATCH, &tag) {
        if query.e.is_none() {
            media::look(media, &wanted).await?;
        }
        return Ok((StatusCode::NOT_MODIFIED, sent).into_response());
    }
    // A part of a copy is more work than the whole.
    let range = wanted_range(&headers, &tag).filter(|_| !is_copy);
    let is_part = range.is_some();
    let delivered = media::deliver(media, wanted, range).await?;
    let content_type = content_type(&key, is_copy);
    sent.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if content_type == OCTETS {
        sent.insert(CONTENT_DISPOSITION, disposition(query.n.as_deref()));
    }
    match delivered {
        Delivered::Copy(bytes) => Ok((sent, bytes).into_response()),
        Delivered::Shorter(size) => {
            let range = HeaderValue::from_str(&format!("bytes */{size}"));
            let headers = [
                (CONTENT_RANGE, range.map_err(AppError::internal)?),
                (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            ];
            Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response())
        }
        Delivered::Object(Object { size, range, body }) => {
            sent.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            sent.insert(CONTENT_LENGTH, (range.end - range.start).into());
            let status = match is_part {
                false => StatusCode::OK,
                true => {
                    let part = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                    let part = HeaderValue::from_str(&part).map_err(AppError::internal)?;
                    sent.insert(CONTENT_RANGE, part);
                    StatusCode::PARTIAL_CONTENT
                }
            };
            Ok((status, sent, Body::from_stream(body)).into_response())
        }
    }
}

fn is_known(headers: &HeaderMap, name: HeaderName, tag: &str) -> bool {
    let known = headers.get_all(name);
    let mut known = known
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|known| known.trim().trim_start_matches("W/"));
    known.any(|known| known == tag)
}

/// As long as the URL is good; one that is good for ever, for ever.
fn caching(query: &MediaQuery) -> HeaderValue {
    let now = u64::try_from(Timestamp::now().unix_ms() / 1_000).unwrap_or(0);
    let text = match query.e {
        None => "public, max-age=31536000, immutable".to_owned(),
        Some(expires) => format!(
            "private, max-age={}, immutable",
            expires.saturating_sub(now)
        ),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-store"))
}

/// By the ending that the server gave it; a copy of what moves is a still one.
fn content_type(key: &str, is_copy: bool) -> &'static str {
    match key.rsplit_once('.').map(|(_, ending)| ending) {
        Some("jpg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("gif") if is_copy => "image/webp",
        Some("gif") => "image/gif",
        _ => OCTETS,
    }
}

/// Saves a file under its name: in ASCII for old clients, and in full (RFC 6266, RFC 8187).
fn disposition(name: Option<&str>) -> HeaderValue {
    let name = name.unwrap_or("file");
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '_',
        })
        .collect();
    let mut full = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => full.push(byte.into()),
            false => full.push_str(&format!("%{byte:02X}")),
        }
    }
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// The one range that is asked for; several, and what can't be read, are answered with the whole, which is allowed.
fn wanted_range(headers: &HeaderMap, tag: &str) -> Option<ByteRange> {
    if headers.get(IF_RANGE).is_some_and(|known| known != tag) {
        return None;
    }
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    match (first.is_empty(), last.is_empty()) {
        (false, true) => Some(ByteRange::From(first.parse().ok()?)),
        (true, false) => Some(ByteRange::Last(last.parse().ok()?)),
        (false, false) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(ByteRange::Between(first, last))
        }
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_saved_whole_and_breaks_out_of_nothing() {
        let shown = |name| disposition(Some(name)).to_str().unwrap().to_owned();
        assert_eq!(
            shown("Füße \"1\".pdf"),
            "attachment; filename=\"F__e _1_.pdf\"; filename*=UTF-8''F%C3%BC%C3%9Fe%20%221%22.pdf"
        );
        assert!(!shown("a\r\nSet-Cookie: x").contains('\n'));
    }

    #[test]
    fn one_range_is_understood() {
        let wanted = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(text))]);
            wanted_range(&headers, "\"a\"")
        };
        assert_eq!(wanted("bytes=0-0"), Some(ByteRange::Between(0, 0)));
        assert_eq!(wanted("bytes=5-"), Some(ByteRange::From(5)));
        assert_eq!(wanted("bytes=-5"), Some(ByteRange::Last(5)));
        for text in [
            "bytes=5-4",
            "bytes=-",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=a-",
            "bytes=1-x",
        ] {
            assert_eq!(wanted(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_cached_is_as_old_as_its_url_may_be() {
        let url = |e| {
            caching(&MediaQuery {
                e,
                ..MediaQuery::default()
            })
        };
        assert_eq!(url(None), "public, max-age=31536000, immutable");
        assert_eq!(url(Some(1)), "private, max-age=0, immutable");
    }
}
