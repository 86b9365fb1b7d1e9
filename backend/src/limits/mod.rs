//! Rate limits by address, user and API key. A single instance counts in memory, which a restart clears. The instances of a
//! fleet share the counts in Redis, and each counts alone while that is away. `crates/rate-limiter` counts; what is limited
//! is in [`tiers`].

mod cleared;
pub mod network;
#[cfg(test)]
mod tests;
pub mod tiers;
pub mod unfinished;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{ErrorBody, ErrorCode};
use rate_limiter::{RateLimiter, Refusal};
use redis_client::RedisClient;

pub use rate_limiter::{Grant, Key, Reservation, State, TierStats};
pub use tiers::{RateLimits, Tier};

use crate::{error::AppError, fleet::bus::Bus};
use cleared::Cleared;

/// Rate limits.
pub struct Limits {
    limiter: RateLimiter,
    bus: Arc<Bus>,
}

impl Limits {
    /// Limits of a single instance.
    pub fn in_memory(limits: &RateLimits) -> Self {
        Self {
            limiter: RateLimiter::in_memory(&limits.tiers()),
            bus: Arc::new(Bus::in_process()),
        }
    }

    /// Limits shared with the other instances that use this Redis and prefix.
    pub fn redis(limits: &RateLimits, redis: RedisClient, key_prefix: &str, bus: Arc<Bus>) -> Self {
        Self {
            limiter: RateLimiter::shared(&limits.tiers(), redis, key_prefix),
            bus,
        }
    }

    /// Takes one permit of a leased tier; `None` if that has to be waited for ([`take`](Self::take)).
    pub fn try_take(&self, tier: Tier, key: Key, now: Instant) -> Option<Result<Grant, AppError>> {
        let taken = self.limiter.try_take(tier as usize, key, now)?;
        Some(taken.map_err(|refusal| refused(tier, refusal)))
    }

    /// Takes `count` permits, all or none; of a leased tier one.
    ///
    /// # Errors
    /// `rate_limited` if that would exceed the limit.
    pub async fn take(
        &self,
        tier: Tier,
        key: Key,
        count: usize,
        now: Instant,
    ) -> Result<Grant, AppError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let taken = self.limiter.take(tier as usize, key, count, now).await;
        taken.map_err(|refusal| refused(tier, refusal))
    }

    /// Reserves one permit of a strict tier whose outcome isn't known yet. It doesn't count unless the outcome is a
    /// [`Reservation::count`]. Memory can't tell of reservations: callers with one key have to come one after the other.
    ///
    /// # Errors
    /// `rate_limited` if the limit is reached.
    pub async fn reserve(
        &self,
        tier: Tier,
        key: Key,
        now: Instant,
    ) -> Result<Reservation, AppError> {
        let reserved = self.limiter.reserve(tier as usize, key, now).await;
        reserved.map_err(|refusal| refused(tier, refusal))
    }

    /// What is counted of a key now; `None` if the tier isn't limited.
    pub async fn state(&self, tier: Tier, key: Key) -> Option<State> {
        self.limiter.state(tier as usize, key, Instant::now()).await
    }

    /// Forgets what is counted of a key, on every instance.
    ///
    /// # Errors
    /// `unavailable` if Redis doesn't answer; instances have forgotten it then, as far as they hear of it.
    pub async fn clear(&self, tier: Tier, key: Key) -> Result<(), AppError> {
        let cleared = self.limiter.clear(tier as usize, key).await;
        // Whether or not Redis has forgotten it: while that is away, instances count alone.
        self.bus.send_to_all(&Cleared { tier, key });
        cleared.map_err(|error| {
            tracing::warn!(%error, tier = tier.name(), "a rate limit wasn't cleared");
            let message = "the rate limits can't be cleared everywhere now; try again";
            ErrorBody::new(ErrorCode::Unavailable, message)
                .retry_after_ms(1_000)
                .into()
        })
    }

    /// What became of every tier since the start of the process.
    pub fn stats(&self) -> impl Iterator<Item = TierStats> {
        self.limiter.stats()
    }

    /// Calls of Redis that failed.
    pub fn errors(&self) -> u64 {
        self.limiter.errors()
    }

    /// How long this instance has counted alone because Redis was away.
    pub fn alone(&self) -> Duration {
        self.limiter.alone()
    }
}

fn refused(tier: Tier, Refusal { limit, wait }: Refusal) -> AppError {
    AppError::rate_limited(tier.row().refusal, wait).limit(limit)
}
