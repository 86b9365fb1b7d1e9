//! The general rate limits of HTTP requests: strangers by address, people by user. What an answer's headers say of them.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use gateway::PeerAddress;
use http::{Method, request::Parts};

use super::request::{Authenticated, authenticate};
use crate::{
    app::SharedApp,
    error::AppError,
    limits::{Grant, Key, Tier, network::Network, tiers},
};

/// Serves a request of the API unless there were too many.
pub async fn limit(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    // Publications are counted by their key, and strangers who lack one where that is checked.
    if !path.starts_with("/api/v1/") || path == "/api/v1/publish" {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let counted = match authenticate(&parts, &app) {
        Ok(actor) => {
            let counted = (tier_of(&parts.method, path), tiers::of_user(&actor.user_id));
            parts.extensions.insert(Authenticated(actor));
            Ok(counted)
        }
        Err(_) if path == "/api/v1/auth/refresh" => {
            network_key(&parts).map(|key| (Tier::Refreshes, key))
        }
        Err(_) => network_key(&parts).map(|key| (Tier::Strangers, key)),
    };
    let taken = match counted {
        Ok((tier, key)) => app.limits.take(tier, key, 1, Instant::now()).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(grant) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            add_headers(&mut response, grant);
            response
        }
        Err(error) => error.into_response(),
    }
}

/// What a request of somebody known counts as.
fn tier_of(method: &Method, path: &str) -> Tier {
    if *method == Method::GET {
        Tier::Reads
    } else if path == "/api/v1/rooms/{roomId}/messages" {
        Tier::Messages
    } else {
        Tier::People
    }
}

/// The key of the network that a request comes from.
pub fn network_key(parts: &Parts) -> Result<Key, AppError> {
    let peer = parts.extensions.get::<PeerAddress>();
    let PeerAddress(peer) =
        peer.ok_or_else(|| AppError::internal("the request came without a peer address"))?;
    Ok(tiers::of_network(Network::from(peer.ip())))
}

/// Says how much is left, unless a stricter limit has said so already.
fn add_headers(response: &mut Response, grant: Grant) {
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
