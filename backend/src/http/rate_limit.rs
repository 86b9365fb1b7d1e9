//! The general rate limits of HTTP requests, and how many of somebody's are served at once: strangers by address, people by user.
//! What an answer's headers say of them.

use std::time::{Duration, Instant};

use axum::{extract::Request, response::Response};
use http::Method;
use protocol::ErrorBody;

use super::{
    peer::network_key,
    request::{Authenticated, access_token},
};
use crate::{
    accounts::Identified,
    app::App,
    auth::actor::Actor,
    error::AppError,
    limits::{Grant, Key, Tier, tiers, unfinished::UnfinishedRequest},
};

/// Counts a request of the table. `None` if it isn't limited here: pages and health aren't, publications are by their key,
/// and strangers who lack one where that is checked.
///
/// # Errors
/// `rate_limited` if there were too many, or are at once.
pub async fn admit(
    app: &App,
    request: &mut Request,
    path: &str,
) -> Result<Option<Counted>, AppError> {
    if !path.starts_with("/api/v1/") || path == "/api/v1/publish" {
        return Ok(None);
    }
    let identified = access_token(request.headers())
        .map_err(AppError::from)
        .and_then(|token| app.accounts.identify(token));
    let (counted, known) = match identified {
        Ok(Identified::Actor(actor)) => {
            let (tier, user) = (tier_of(request.method(), path), &actor.user_id);
            (count(app, tier, tiers::of_user(user)).await?, Ok(actor))
        }
        Err(error) => {
            let tier = match path {
                "/api/v1/auth/refresh" => Tier::Refreshes,
                _ => Tier::Strangers,
            };
            let network = network_key(request.extensions())?;
            (count(app, tier, network).await?, Err(error))
        }
        // Apart, as it needs far more memory than the usual case.
        Ok(other) => {
            let token = access_token(request.headers())?.to_owned();
            let network = network_key(request.extensions())?;
            let tier = tier_of(request.method(), path);
            Box::pin(admit_external(app, token, other, tier, network)).await?
        }
    };
    let known = known.map_err(ErrorBody::from);
    request.extensions_mut().insert(Authenticated(known));
    Ok(Some(counted))
}

/// Counts a request with a token of another application for which something has to be read, before it is.
async fn admit_external(
    app: &App,
    token: String,
    identified: Identified,
    tier: Tier,
    network: Key,
) -> Result<(Counted, Result<Actor, AppError>), AppError> {
    let identity = match identified {
        Identified::External(identity) => identity,
        // Anybody can name a key that nobody knows.
        _ => {
            let counted = count(app, Tier::Strangers, network).await?;
            match app.accounts.identify_with_new_key(&token).await {
                Ok(identity) => identity,
                Err(error) => return Ok((counted, Err(error))),
            }
        }
    };
    let counted = count(app, tier, tiers::of_user(&identity.user_id)).await?;
    let known = app.accounts.sign_in_external(&token, identity).await;
    Ok((counted, known))
}

/// The permit of a request that was counted, and its place among those that aren't answered.
type Counted = (Grant, UnfinishedRequest);

async fn count(app: &App, tier: Tier, key: Key) -> Result<Counted, AppError> {
    let max = match tier {
        Tier::Strangers | Tier::Refreshes => app.config.max_requests_per_address,
        _ => app.config.max_requests_per_user,
    };
    let unfinished = app.unfinished_requests.begin(key, max)?;
    let grant = app.limits.take(tier, key, 1, Instant::now()).await?;
    Ok((grant, unfinished))
}

/// What a request of somebody known counts as.
fn tier_of(method: &Method, path: &str) -> Tier {
    if method.is_safe() {
        Tier::Reads
    } else if path == "/api/v1/rooms/{roomId}/messages" {
        Tier::Messages
    } else {
        Tier::People
    }
}

/// Says how much is left, unless a stricter limit has said so already.
pub fn add_headers(response: &mut Response, grant: Grant) {
    let Some(limit) = grant.limit else {
        return;
    };
    let headers = response.headers_mut();
    if headers.contains_key("ratelimit-limit") {
        return;
    }
    headers.insert("ratelimit-limit", limit.into());
    headers.insert("ratelimit-remaining", grant.remaining.into());
    let reset = grant.reset + Duration::from_millis(999);
    headers.insert("ratelimit-reset", reset.as_secs().into());
}
