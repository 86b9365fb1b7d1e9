//! The general rate limits of HTTP requests, and how many of somebody's are served at once: strangers by address, people by user.
//! What an answer's headers say of them.

use std::time::{Duration, Instant};

use axum::{extract::Request, response::Response};
use gateway::PeerAddress;
use http::{Extensions, Method};
use protocol::ErrorBody;

use super::request::{Authenticated, access_token};
use crate::{
    accounts::Identified,
    app::App,
    error::AppError,
    limits::{Grant, Key, Tier, network::Network, tiers, unfinished::UnfinishedRequest},
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
) -> Result<Option<(Grant, UnfinishedRequest)>, AppError> {
    if !path.starts_with("/api/v1/") || path == "/api/v1/publish" {
        return Ok(None);
    }
    let token = access_token(request.headers()).map(str::to_owned);
    let mut identified = match &token {
        Ok(token) => app.accounts.identify(token),
        Err(missing) => Err(missing.clone().into()),
    };
    let mut as_stranger = None;
    if let (Ok(Identified::UnknownKey), Ok(token)) = (&identified, &token) {
        // Anybody can name a key that nobody knows.
        let key = network_key(request.extensions())?;
        let admitted = count(app, Tier::Strangers, key).await?;
        let identity = Box::pin(app.accounts.identify_with_new_key(token)).await;
        if identity.is_err() {
            as_stranger = Some(admitted);
        }
        identified = identity.map(Identified::External);
    }
    let user = match &identified {
        Ok(Identified::Actor(actor)) => Some(&actor.user_id),
        Ok(Identified::External(identity)) => Some(&identity.user_id),
        Ok(Identified::UnknownKey) | Err(_) => None,
    };
    let (tier, key) = match user {
        Some(user) => (tier_of(request.method(), path), tiers::of_user(user)),
        None if path == "/api/v1/auth/refresh" => {
            (Tier::Refreshes, network_key(request.extensions())?)
        }
        None => (Tier::Strangers, network_key(request.extensions())?),
    };
    let admitted = match as_stranger {
        Some(admitted) => admitted,
        None => count(app, tier, key).await?,
    };
    // Counted before anything is read for them.
    let known = match (identified, token) {
        (Ok(Identified::Actor(actor)), _) => Ok(actor),
        (Ok(Identified::External(identity)), Ok(token)) => {
            Box::pin(app.accounts.sign_in_external(&token, identity)).await
        }
        (Ok(_), _) => Err(AppError::internal(
            "the key of a token was never looked for",
        )),
        (Err(error), _) => Err(error),
    };
    let known = known.map_err(ErrorBody::from);
    request.extensions_mut().insert(Authenticated(known));
    Ok(Some(admitted))
}

async fn count(app: &App, tier: Tier, key: Key) -> Result<(Grant, UnfinishedRequest), AppError> {
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

/// The key of the network that a request comes from.
pub fn network_key(extensions: &Extensions) -> Result<Key, AppError> {
    let PeerAddress(peer) = extensions
        .get()
        .ok_or_else(|| AppError::internal("the request came without a peer address"))?;
    Ok(tiers::of_network(Network::from(peer.ip())))
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
