//! Against guessing passwords and flooding with guests, by network address. In memory: a restart forgives.
//!
//! What must stay true: guesses sent all at once are counted like those sent one by one; and memory stays bounded
//! whatever names and addresses are tried, by forgetting the oldest.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::error::AppError;

/// Wrong passwords for one username from one address before the next try has to wait.
const FAILURES: u32 = 5;
const FAILURES_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Guests from one address.
const GUESTS: u32 = 60;
const GUESTS_WINDOW: Duration = Duration::from_secs(60);

/// Windows of each kind that are remembered, a few megabytes. To push one's own out before it ends takes far more
/// wrong passwords than are checked in 15 minutes.
const REMEMBERED: usize = 100_000;

/// Sign-ins of different usernames rarely share a lane, and no more of them than cores run at once anyway.
const LANES: usize = 64;

type Username = (IpAddr, Box<str>);

/// Counts failed sign-ins and guests.
pub struct SignInLimits {
    failures: Mutex<Windows<Username>>,
    guests: Mutex<Windows<IpAddr>>,
    /// Tries for one username wait for each other here, so that each sees how the one before ended.
    lanes: [AsyncMutex<()>; LANES],
    lane_of: RandomState,
}

/// A try to sign in, whose outcome has to be told. Others for the same username wait until it is gone.
pub struct Attempt<'a> {
    limits: &'a SignInLimits,
    key: Username,
    _lane: MutexGuard<'a, ()>,
}

impl SignInLimits {
    /// Nobody has tried yet.
    pub fn new() -> Self {
        Self {
            failures: Mutex::new(Windows::new(FAILURES_WINDOW)),
            guests: Mutex::new(Windows::new(GUESTS_WINDOW)),
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
        match self.failures.lock().live(&key, now) {
            Some(window) if window.count >= FAILURES => Err(AppError::rate_limited(
                "too many failed sign-ins; try again later",
                window.left(FAILURES_WINDOW, now),
            )
            .limit(FAILURES)),
            _ => Ok(Attempt {
                limits: self,
                key,
                _lane: lane,
            }),
        }
    }

    /// Counts a guest.
    ///
    /// # Errors
    /// `rate_limited` beyond 60 from one address, until a minute from the first of them.
    pub fn guest(&self, address: IpAddr, now: Instant) -> Result<(), AppError> {
        let window = self.guests.lock().count(network(address), now);
        if window.count <= GUESTS {
            return Ok(());
        }
        let left = window.left(GUESTS_WINDOW, now);
        Err(AppError::rate_limited("too many guests from this address", left).limit(GUESTS))
    }
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl Attempt<'_> {
    /// The password was wrong.
    pub fn failed(self, now: Instant) {
        self.limits.failures.lock().count(self.key, now);
    }

    /// The password was right: earlier failures are forgiven.
    pub fn succeeded(self) {
        self.limits.failures.lock().counts.remove(&self.key);
    }
}

/// Who has one IPv6 address mostly has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Counts by key, each in a window that begins with its first count; all windows are equally long.
struct Windows<K> {
    length: Duration,
    counts: HashMap<K, Window>,
    /// Windows in the order of their beginning; some have been ended early.
    begun: VecDeque<(Instant, K)>,
}

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    count: u32,
}

impl Window {
    fn left(self, length: Duration, now: Instant) -> Duration {
        length.saturating_sub(now.saturating_duration_since(self.began))
    }
}

impl<K: Hash + Eq + Clone> Windows<K> {
    fn new(length: Duration) -> Self {
        Self {
            length,
            counts: HashMap::new(),
            begun: VecDeque::new(),
        }
    }

    /// The window of `key`, if it isn't over.
    fn live(&self, key: &K, now: Instant) -> Option<Window> {
        self.counts
            .get(key)
            .copied()
            .filter(|window| !window.left(self.length, now).is_zero())
    }

    fn count(&mut self, key: K, now: Instant) -> Window {
        let mut window = self.live(&key, now).unwrap_or(Window {
            began: now,
            count: 0,
        });
        if window.count == 0 {
            self.forget(now);
            self.begun.push_back((now, key.clone()));
        }
        window.count = window.count.saturating_add(1);
        self.counts.insert(key, window);
        window
    }

    /// Forgets windows that are over, and the oldest if there is no room for another.
    fn forget(&mut self, now: Instant) {
        while let Some((began, key)) = self.begun.front() {
            let over = now.saturating_duration_since(*began) >= self.length;
            if !over && self.begun.len() < REMEMBERED {
                break;
            }
            if self
                .counts
                .get(key)
                .is_some_and(|window| window.began == *began)
            {
                self.counts.remove(key);
            }
            self.begun.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use futures_util::future::join_all;
    use protocol::{ErrorBody, ErrorCode};

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn fail(limits: &SignInLimits, username: &str, now: Instant) {
        limits
            .attempt(HOME, username, now)
            .await
            .unwrap()
            .failed(now);
    }

    #[tokio::test]
    async fn the_sixth_try_waits_for_the_end_of_the_window() {
        let limits = SignInLimits::new();
        let start = Instant::now();
        for second in 0..5 {
            fail(&limits, "Ada", start + Duration::from_secs(second)).await;
        }
        let refused: ErrorBody = limits
            .attempt(HOME, "ada", start + Duration::from_secs(60))
            .await
            .err()
            .unwrap()
            .into();
        assert_eq!(
            (refused.code, refused.retry_after_ms),
            (ErrorCode::RateLimited, Some(14 * 60_000))
        );
        assert!(
            limits.attempt(HOME, "grace", start).await.is_ok(),
            "other users aren't kept out"
        );
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert!(
            limits.attempt(elsewhere, "ada", start).await.is_ok(),
            "nor the user at another address"
        );
        assert!(
            limits
                .attempt(HOME, "ada", start + FAILURES_WINDOW)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn success_forgives() {
        let limits = SignInLimits::new();
        let now = Instant::now();
        for _ in 0..3 {
            for _ in 0..4 {
                fail(&limits, "ada", now).await;
            }
            limits.attempt(HOME, "ada", now).await.unwrap().succeeded();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn guesses_sent_at_once_are_counted_one_by_one() {
        let limits = Arc::new(SignInLimits::new());
        let now = Instant::now();
        let checked = Arc::new(AtomicU32::new(0));
        let guesses = (0..50).map(|_| {
            let (limits, checked) = (limits.clone(), checked.clone());
            tokio::spawn(async move {
                if let Ok(attempt) = limits.attempt(HOME, "ada", now).await {
                    tokio::task::yield_now().await;
                    checked.fetch_add(1, Ordering::Relaxed);
                    attempt.failed(now);
                }
            })
        });
        for guess in join_all(guesses).await {
            guess.unwrap();
        }
        assert_eq!(checked.load(Ordering::Relaxed), FAILURES);
    }

    #[test]
    fn guests_are_counted_by_network() {
        let limits = SignInLimits::new();
        let now = Instant::now();
        for host in 1..=GUESTS {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host as u16]);
            limits.guest(address, now).unwrap();
        }
        let same = IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]);
        assert_eq!(
            limits.guest(same, now).unwrap_err().code(),
            ErrorCode::RateLimited
        );
        let other = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]);
        limits.guest(other, now).unwrap();
        limits.guest(same, now + GUESTS_WINDOW).unwrap();
    }

    #[test]
    fn memory_is_bounded_and_emptied() {
        let mut windows = Windows::new(Duration::from_secs(60));
        let now = Instant::now();
        for key in 0..REMEMBERED + 10 {
            windows.count(key, now);
        }
        assert_eq!(
            (windows.counts.len(), windows.begun.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert!(windows.live(&9, now).is_none() && windows.live(&10, now).is_some());
        windows.count(0, now + Duration::from_secs(60));
        assert_eq!((windows.counts.len(), windows.begun.len()), (1, 1));
    }
}
