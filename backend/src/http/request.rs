//! What handlers take out of a request. All of it is checked here, and every refusal is a problem of this API.

use std::time::Instant;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use gateway::{BodyError, BodyReader};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use protocol::{ErrorBody, ErrorCode, Invalid, Role, read_json, read_query};
use serde::de::DeserializeOwned;
use storage::StoreError;

use super::peer::{self, network_key};
use crate::{
    accounts::{Identified, sessions::Device},
    app::{App, SharedApp},
    audit::record::{Record, Trail},
    auth::actor::Actor,
    error::AppError,
    limits::Tier,
    publish::api_keys::KeyHolder,
};

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
        let reader = request.extensions().get::<BodyReader>().cloned();
        let reader =
            reader.ok_or_else(|| AppError::internal("nothing says how its body is to be read"))?;
        let body = reader
            .read(request.into_body(), BODY_MAX)
            .await
            .map_err(refused)?;
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

fn refused(error: BodyError) -> AppError {
    let again = |message| {
        let body = ErrorBody::new(ErrorCode::Unavailable, message);
        AppError::from(body.retry_after_ms(1_000))
    };
    match error {
        BodyError::TooLarge => AppError::new(
            ErrorCode::TooLarge,
            format!("the body has more than {BODY_MAX} bytes"),
        ),
        BodyError::CutOff => Invalid::new("payload", "the body ends too early").into(),
        BodyError::TooSlow => again("the body came too slowly; try again"),
        BodyError::NoRoom => again("too many bodies are being read; try again"),
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
        let address = peer::address(&parts.extensions)?;
        let name = parts
            .headers
            .get(USER_AGENT)
            .and_then(|name| name.to_str().ok())
            .unwrap_or("unknown");
        Ok(Self {
            name: name.chars().take(DEVICE_NAME_MAX).collect(),
            address,
        })
    }
}

/// Who a request is of, in its extensions, once that is known.
#[derive(Clone)]
pub struct Authenticated(pub Result<Actor, ErrorBody>);

/// The access token of a request.
///
/// # Errors
/// `unauthenticated` without one.
pub fn access_token(headers: &HeaderMap) -> Result<&str, ErrorBody> {
    let missing = "the header Authorization: Bearer is required";
    bearer_of(headers).ok_or_else(|| ErrorBody::new(ErrorCode::Unauthenticated, missing))
}

/// Who a request is of that wasn't counted. Nobody for whom that would take I/O.
fn authenticate(headers: &HeaderMap, app: &App) -> Result<Actor, AppError> {
    match app.accounts.identify(access_token(headers)?)? {
        Identified::Actor(actor) => Ok(actor),
        _ => Err(AppError::internal("the request wasn't counted")),
    }
}

impl FromRequestParts<SharedApp> for Actor {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        let trail = parts.extensions.get::<Trail>().cloned();
        let actor = match parts.extensions.remove::<Authenticated>() {
            Some(Authenticated(known)) => known?,
            None => authenticate(&parts.headers, app)?,
        };
        if let Some(trail) = trail {
            trail.note(|record| record.set_actor(&actor));
        }
        Ok(actor)
    }
}

/// An actor who is an administrator now: the token may be older than the role, so the store is asked.
pub struct Administrator(pub Actor);

impl FromRequestParts<SharedApp> for Administrator {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        let actor = Actor::from_request_parts(parts, app).await?;
        let user = app.store.user(&actor.user_id).await;
        if let Ok(user) = &user {
            app.accounts.notice_role(user).await;
        }
        match user {
            Ok(user) if user.role == Role::Admin => Ok(Self(actor)),
            Ok(_) | Err(StoreError::NotFound) => Err(AppError::new(
                ErrorCode::Forbidden,
                "only administrators may do this",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl FromRequestParts<SharedApp> for KeyHolder {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, AppError> {
        if let Some(trail) = parts.extensions.get::<Trail>() {
            trail.note(Record::set_api_key);
        }
        let presented = bearer_of(&parts.headers);
        match presented.and_then(|presented| app.api_keys.holder(presented)) {
            Some(holder) => Ok(holder),
            None => {
                let (network, now) = (network_key(&parts.extensions)?, Instant::now());
                app.limits.take(Tier::Strangers, network, 1, now).await?;
                if !app.api_keys.are_known() {
                    let message = "the API keys haven't been read yet; try again";
                    let body = ErrorBody::new(ErrorCode::Unavailable, message);
                    return Err(body.retry_after_ms(1_000).into());
                }
                // Without any key the route doesn't exist.
                if !app.api_keys.exist() {
                    return Err(AppError::not_found("route"));
                }
                Err(AppError::new(
                    ErrorCode::Unauthenticated,
                    "the header Authorization: Bearer with an API key is required",
                ))
            }
        }
    }
}

/// The credentials of the header `Authorization: Bearer`.
fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?;
    // As UTF-8, since a key may hold more than ASCII.
    bearer(str::from_utf8(header.as_bytes()).ok()?)
}

/// The token of `Bearer <token>`; the scheme is case-insensitive.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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

    #[test]
    fn only_bearer_tokens_count() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearerabc"), None);
    }
}
