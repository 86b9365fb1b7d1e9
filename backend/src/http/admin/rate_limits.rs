//! `admin/rate-limits`: what is counted of a user, an address or an API key.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{Invalid, RateLimitState, RateLimitStates, RateLimitSubject};

use crate::{
    app::SharedApp,
    audit::record::Trail,
    error::AppError,
    http::request::{Administrator, Query},
    limits::{
        Key, Tier,
        network::Network,
        tiers::{self, Principal},
    },
};

pub async fn read(
    State(app): State<SharedApp>,
    _: Administrator,
    Query(subject): Query<RateLimitSubject>,
) -> Result<Json<RateLimitStates>, AppError> {
    let mut limits = Vec::new();
    for (tier, key) in keys(&subject)? {
        let Some(state) = app.limits.state(tier, key).await else {
            continue;
        };
        let wait = state.wait.as_millis() as u64;
        limits.push(RateLimitState {
            tier: tier.name().to_owned(),
            limit: state.limit.permits,
            window_seconds: state.limit.window.as_secs(),
            used: state.used,
            retry_after_ms: (wait > 0).then_some(wait),
            complete: state.shared,
        });
    }
    Ok(Json(RateLimitStates { limits }))
}

pub async fn delete(
    State(app): State<SharedApp>,
    trail: Trail,
    _: Administrator,
    Query(subject): Query<RateLimitSubject>,
) -> Result<StatusCode, AppError> {
    trail.note(|record| {
        if let Some(user) = &subject.user_id {
            record.set_target("user", user.as_str());
        }
        if let Some(address) = &subject.address {
            record.set_target("address", &address.to_string());
        }
        if let Some(key) = &subject.api_key {
            record.set_target("api_key", key);
        }
        if let Some(tier) = &subject.tier {
            record.set_detail("tier", tier.as_str());
        }
    });
    let mut outcome = Ok(());
    for (tier, key) in keys(&subject)? {
        // All of them, though one may fail.
        outcome = outcome.and(app.limits.clear(tier, key).await);
    }
    outcome.map(|()| StatusCode::NO_CONTENT)
}

/// Where a subject is counted.
fn keys(subject: &RateLimitSubject) -> Result<Vec<(Tier, Key)>, AppError> {
    let network = subject.address.map(Network::from);
    let key = |tier: Tier| match tier.by() {
        Principal::User => subject.user_id.as_ref().map(tiers::of_user),
        Principal::Address => network.map(tiers::of_network),
        Principal::UsernameAndAddress => {
            Some(tiers::of_username(network?, subject.username.as_ref()?))
        }
        Principal::ApiKey => subject.api_key.as_deref().map(tiers::of_api_key),
    };
    let only = subject.tier.as_deref();
    let meant = Tier::all().filter(|tier| only.is_none_or(|only| only == tier.name()));
    let keys: Vec<_> = meant.filter_map(|tier| Some((tier, key(tier)?))).collect();
    if keys.is_empty() {
        return Err(Invalid::new("tier", "expected a tier of this subject").into());
    }
    Ok(keys)
}
