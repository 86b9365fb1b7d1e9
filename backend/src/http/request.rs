//! What handlers take out of a request. All of it is checked here, and every refusal is a problem of this API.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use gateway::PeerAddress;
use http::{
    HeaderMap,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use protocol::{ErrorCode, Invalid, read_json, read_query};
use serde::de::DeserializeOwned;

use crate::{accounts::sessions::Device, app::SharedApp, error::AppError};

/// Bytes of a body, far more than the longest message takes.
const BODY_MAX: usize = 1_000_000;

/// Characters kept of what a device calls itself.
const DEVICE_NAME_MAX: usize = 200;

/// The JSON body of a request. An absent one is read as an empty object, so that it lacks what is required.
pub struct JsonBody<T>(pub T);

impl<T: protocol::Request> FromRequest<SharedApp> for JsonBody<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &SharedApp) -> Result<Self, AppError> {
        let is_json = is_json(request.headers());
        let body = read(request.into_body()).await?;
        if body.is_empty() {
            return Ok(Self(read_json(b"{}")?));
        }
        if !is_json {
            return Err(Invalid::new("Content-Type", "expected application/json").into());
        }
        Ok(Self(read_json(&body)?))
    }
}

/// Whether the body is said to be JSON, or nothing is said of it.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let suffix = || {
        essence
            .len()
            .checked_sub("+json".len())
            .and_then(|at| essence.get(at..))
    };
    essence.eq_ignore_ascii_case("application/json")
        || suffix().is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

async fn read(body: Body) -> Result<Bytes, AppError> {
    let too_large = || {
        AppError::new(
            ErrorCode::TooLarge,
            format!("the body has more than {BODY_MAX} bytes"),
        )
    };
    if http_body::Body::size_hint(&body).lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Invalid::new("payload", "the body ends too early").into()),
    }
}

/// The query of a URL.
pub struct Query<T>(pub T);

impl<T: protocol::Request> FromRequestParts<SharedApp> for Query<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, AppError> {
        Ok(Self(read_query(parts.uri.query().unwrap_or_default())?))
    }
}

/// Ids in a path. A malformed one is as good as one that doesn't exist.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<SharedApp> for Path<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(AppError::not_found("id")),
        }
    }
}

impl FromRequestParts<SharedApp> for Device {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, AppError> {
        let PeerAddress(peer) = parts
            .extensions
            .get()
            .ok_or_else(|| AppError::internal("the request came without a peer address"))?;
        let name = parts
            .headers
            .get(USER_AGENT)
            .and_then(|name| name.to_str().ok())
            .unwrap_or("unknown");
        Ok(Self {
            name: name.chars().take(DEVICE_NAME_MAX).collect(),
            address: peer.ip().to_canonical(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        let said = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(is_json(&HeaderMap::new()));
        assert!(
            said("application/json")
                && said("Application/JSON; charset=utf-8")
                && said("application/merge+json")
        );
        assert!(
            !said("application/x-www-form-urlencoded")
                && !said("text/plain")
                && !said("json")
                && !said("")
        );
    }

    #[tokio::test]
    async fn a_body_has_a_bound() {
        let body = |length: usize| Body::from(vec![b' '; length]);
        assert_eq!(read(body(BODY_MAX)).await.unwrap().len(), BODY_MAX);
        assert_eq!(
            read(body(BODY_MAX + 1)).await.unwrap_err().code(),
            ErrorCode::TooLarge
        );
        let unsized_body = Body::from_stream(futures_util::stream::iter(
            (0..=BODY_MAX / 1_000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_000])),
        ));
        assert_eq!(
            read(unsized_body).await.unwrap_err().code(),
            ErrorCode::TooLarge
        );
        let cut = futures_util::stream::iter([Ok(vec![b'{']), Err(std::io::Error::other("gone"))]);
        assert_eq!(
            read(Body::from_stream(cut)).await.unwrap_err().code(),
            ErrorCode::Invalid
        );
    }
}
