//! Against guessing passwords and flooding with guests, by network address. In memory, where a restart forgives; the
//! instances of a fleet count in Redis, and each in its own memory while that is away.
//!
//! What must stay true: guesses sent all at once are counted like those sent one by one.

mod shared;
#[cfg(test)]
mod tests;
mod windows;

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis_client::RedisClient;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::error::AppError;
use shared::{Place, SharedWindows, Verdict};
use windows::Windows;

/// How much is allowed in every window, wherever it begins.
#[derive(Debug, Clone, Copy)]
struct Limit {
    name: &'static str,
    most: usize,
    window: Duration,
}

/// Wrong passwords for one username from one address before the next try has to wait.
const FAILURES: Limit = Limit {
    name: "failed-sign-ins",
    most: 5,
    window: Duration::from_secs(15 * 60),
};

/// Guests from one address.
const GUESTS: Limit = Limit {
    name: "guests",
    most: 60,
    window: Duration::from_secs(60),
};

/// Sign-ins of different usernames rarely share a lane, and no more of them than cores run at once anyway.
const LANES: usize = 64;

type Username = (IpAddr, Box<str>);

/// Counts failed sign-ins and guests.
pub struct SignInLimits {
    failures: Mutex<Windows<Username>>,
    guests: Mutex<Windows<IpAddr>>,
    counting: Counting,
    /// Tries for one username wait for each other here, so that each sees how the one before ended.
    lanes: [AsyncMutex<()>; LANES],
    lane_of: RandomState,
}

/// Whose counts decide. Memory counts in any case: it has to know when Redis goes.
enum Counting {
    Alone,
    Together(SharedWindows),
}

/// A try to sign in, whose outcome has to be told. Others for the same username wait until it is gone.
pub struct Attempt<'a> {
    limits: &'a SignInLimits,
    key: Username,
    /// Where it is counted as a failure already.
    place: Option<Place>,
    _lane: MutexGuard<'a, ()>,
}

impl SignInLimits {
    /// Nobody has tried yet.
    pub fn in_memory() -> Self {
        Self::new(Counting::Alone)
    }

    /// Counted with the other instances that use this Redis and prefix.
    pub fn redis(redis: RedisClient, key_prefix: impl Into<String>) -> Self {
        let windows = SharedWindows::new(redis, key_prefix.into());
        Self::new(Counting::Together(windows))
    }

    fn new(counting: Counting) -> Self {
        Self {
            failures: Mutex::new(Windows::new(FAILURES)),
            guests: Mutex::new(Windows::new(GUESTS)),
            counting,
            lanes: std::array::from_fn(|_| AsyncMutex::new(())),
            lane_of: RandomState::new(),
        }
    }

    /// Begins a try to sign in, once those before it for the same username and address are over.
    ///
    /// # Errors
    /// `rate_limited` after five failures, until 15 minutes from the first of them.
    pub async fn attempt(
        &self,
        address: IpAddr,
        username: &str,
        now: Instant,
    ) -> Result<Attempt<'_>, AppError> {
        let key = (network(address), username.to_lowercase().into_boxed_str());
        let lane = self.lane_of.hash_one(&key) as usize % LANES;
        let lane = self.lanes[lane].lock().await;
        let parts = [&key.0.to_string(), &*key.1];
        let (wait, place) = match self.take(FAILURES, &parts).await {
            Verdict::Taken(place) => (None, Some(place)),
            Verdict::Wait(wait) => (Some(wait), None),
            Verdict::Away => (self.failures.lock().wait(&key, now), None),
        };
        if let Some(wait) = wait {
            let message = "too many failed sign-ins; try again later";
            return Err(refused(FAILURES, message, wait));
        }
        Ok(Attempt {
            limits: self,
            key,
            place,
            _lane: lane,
        })
    }

    /// Counts a guest.
    ///
    /// # Errors
    /// `rate_limited` beyond 60 from one address, until a minute from the first of them.
    pub async fn guest(&self, address: IpAddr, now: Instant) -> Result<(), AppError> {
        let network = network(address);
        let verdict = self.take(GUESTS, &[&network.to_string()]).await;
        let mut guests = self.guests.lock();
        let wait = match verdict {
            Verdict::Taken(_) => None,
            Verdict::Wait(wait) => Some(wait),
            Verdict::Away => guests.wait(&network, now),
        };
        if let Some(wait) = wait {
            return Err(refused(GUESTS, "too many guests from this address", wait));
        }
        guests.count(network, now);
        Ok(())
    }

    async fn take(&self, limit: Limit, parts: &[&str]) -> Verdict {
        match &self.counting {
            Counting::Alone => Verdict::Away,
            Counting::Together(windows) => windows.take(limit, parts).await,
        }
    }
}

fn refused(limit: Limit, message: &'static str, wait: Duration) -> AppError {
    AppError::rate_limited(message, wait).limit(limit.most as u32)
}

impl Attempt<'_> {
    /// The password was wrong.
    pub fn failed(mut self, now: Instant) {
        self.limits.failures.lock().count(self.key.clone(), now);
        self.place = None;
    }

    /// The password was right: earlier failures are forgiven.
    pub async fn succeeded(mut self) {
        self.limits.failures.lock().forgive(&self.key);
        if let (Counting::Together(windows), Some(place)) =
            (&self.limits.counting, self.place.take())
        {
            windows.forgive(place).await;
        }
    }
}

/// Without an outcome nothing was learnt about the password, so nothing counts.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let (Counting::Together(windows), Some(place)) =
            (&self.limits.counting, self.place.take())
        {
            windows.give_back(place);
        }
    }
}

/// Who has one IPv6 address mostly has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}
