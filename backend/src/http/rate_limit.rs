//! The general rate limits of HTTP requests, and how many of somebody's are served at once: strangers by address, people by user.
//! What an answer's headers say of them.

use std::time::{Duration, Instant};

use axum::{extract::Request, response::Response};
use gateway::PeerAddress;
use http::{Extensions, Method};
use protocol::ErrorBody;

use super::request::{Authenticated, authenticate};
use crate::{
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
    // Once: whose key has to be waited for waits once.
    let known = authenticate(request.headers(), app)
        .await
        .map_err(ErrorBody::from);
    let (tier, key) = match &known {
        Ok(actor) => (
            tier_of(request.method(), path),
            tiers::of_user(&actor.user_id),
        ),
        Err(_) if path == "/api/v1/auth/refresh" => {
            (Tier::Refreshes, network_key(request.extensions())?)
        }
        Err(_) => (Tier::Strangers, network_key(request.extensions())?),
    };
    request.extensions_mut().insert(Authenticated(known));
    let max = match tier {
        Tier::Strangers | Tier::Refreshes => app.config.max_requests_per_address,
        _ => app.config.max_requests_per_user,
    };
    let unfinished = app.unfinished_requests.begin(key, max)?;
    let grant = app.limits.take(tier, key, 1, Instant::now()).await?;
    Ok(Some((grant, unfinished)))
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
