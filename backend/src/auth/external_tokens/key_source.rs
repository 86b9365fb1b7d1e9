//! Reading an issuer's keys: ahead of time in the background, and when a token names one that isn't known.
//!
//! What must stay true: one request at a time, and none sooner than the pause after the one before, however many tokens
//! name unknown keys; a key is called unknown only by an answer to a request that was sent after the token came.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use circuit_breaker::{Breaker, CallError};
use jsonwebtoken::{Algorithm, DecodingKey};
use rand::RngExt;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    endpoint::{Endpoint, FetchError},
    key_set::{KeySet, Lookup},
};

/// How often the keys are read again: one that the issuer withdraws is accepted for so long.
const REFRESH: Duration = Duration::from_secs(300);

/// How long keys are used that can't be read again.
const KEEP: Duration = Duration::from_secs(24 * 3_600);

/// The pause before another request that an unknown key asks for.
const PAUSE: Duration = Duration::from_secs(3);

/// The pause after a failure: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// One request, from the look-up of the name to the end of the answer.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a token waits for its key.
const PATIENCE: Duration = Duration::from_secs(9);

/// Tokens that wait for their keys.
const WAITING: usize = 1_024;

/// Why a token has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The issuer doesn't publish it.
    Unknown,
    /// The issuer wasn't reached.
    Unavailable,
}

/// How reading an issuer's keys goes.
#[derive(Debug, Clone, Copy)]
pub struct KeySourceStats {
    /// Keys that are known.
    pub keys: usize,
    /// When they were read, if they were.
    pub age: Option<Duration>,
    /// Requests that were answered with keys.
    pub read: u64,
    /// Requests that weren't.
    pub failed: u64,
}

/// The keys of an issuer.
pub(super) struct KeySource {
    endpoint: Endpoint,
    breaker: Arc<Breaker>,
    state: watch::Sender<State>,
    wanted: Notify,
    waiting: Semaphore,
    read: AtomicU64,
    failed: AtomicU64,
}

struct State {
    keys: Arc<KeySet>,
    read_at: Option<Instant>,
    /// Requests that have begun.
    begun: u64,
    /// The last one that has ended; 0 for none.
    ended: u64,
    /// Whether that one was answered with keys.
    answered: bool,
    /// Before this no other is sent.
    next: Instant,
}

impl KeySource {
    /// Without any keys yet.
    pub fn new(endpoint: Endpoint, breaker: Arc<Breaker>) -> Self {
        let (state, _) = watch::channel(State {
            keys: Arc::default(),
            read_at: None,
            begun: 0,
            ended: 0,
            answered: false,
            next: Instant::now(),
        });
        Self {
            endpoint,
            breaker,
            state,
            wanted: Notify::new(),
            waiting: Semaphore::new(WAITING),
            read: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub fn stats(&self) -> KeySourceStats {
        let state = self.state.borrow();
        KeySourceStats {
            keys: state.keys.len(),
            age: state.read_at.map(|at| at.elapsed()),
            read: self.read.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// The key that a token names, if it is known.
    pub fn look_up(&self, id: Option<&str>, algorithm: Algorithm) -> Lookup {
        self.state.borrow().look_up(id, algorithm)
    }

    /// The key that a token names, from the answer to the next request.
    pub async fn wait_for(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, KeyError> {
        let _permit = self
            .waiting
            .try_acquire()
            .map_err(|_| KeyError::Unavailable)?;
        let (until, mut state) = (Instant::now() + PATIENCE, self.state.subscribe());
        let wanted = {
            let state = state.borrow();
            if state.next + REQUEST > until {
                return Err(KeyError::Unavailable);
            }
            state.begun + 1
        };
        self.wanted.notify_one();
        let is_known = |state: &State| matches!(state.look_up(id, algorithm), Lookup::Found(_));
        let ended = state.wait_for(|state| state.ended >= wanted || is_known(state));
        let ended = timeout_at(until, ended);
        let Ok(Ok(state)) = ended.await else {
            return Err(KeyError::Unavailable);
        };
        match state.look_up(id, algorithm) {
            Lookup::Found(key) => Ok(key),
            _ if state.answered => Err(KeyError::Unknown),
            _ => Err(KeyError::Unavailable),
        }
    }

    /// Reads the keys now, from time to time, and when a token names an unknown one, for ever.
    pub async fn run(&self) {
        let mut failures = 0;
        loop {
            self.state.send_modify(|state| state.begun += 1);
            let read = self.read_keys().await;
            match &read {
                Ok(keys) => {
                    if keys.len() == 0 {
                        tracing::warn!(
                            "the tokens' issuer publishes no key for RS256, ES256 or EdDSA; its tokens are refused"
                        );
                    }
                    self.read.fetch_add(1, Ordering::Relaxed);
                    failures = 0;
                }
                // Nobody was asked.
                Err(FetchError::Refused) => failures += 1,
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    failures += 1;
                    tracing::warn!(%error, failures, "the keys of the tokens' issuer couldn't be read; trying again");
                }
            }
            let (pause, refresh) = match failures {
                0 => (PAUSE, jittered(REFRESH)),
                _ => {
                    let doubled = BACKOFF.0 * 2_u32.saturating_pow(failures - 1).min(64);
                    let pause = jittered(doubled.min(BACKOFF.1));
                    (pause, pause)
                }
            };
            let now = Instant::now();
            self.state.send_modify(|state| {
                state.ended = state.begun;
                state.answered = read.is_ok();
                state.next = now + pause;
                if let Ok(keys) = read {
                    state.keys = Arc::new(keys);
                    state.read_at = Some(now);
                }
            });
            let wanted = async {
                self.wanted.notified().await;
                sleep_until(now + pause).await;
            };
            tokio::select! {
                () = sleep_until(now + refresh) => {}
                () = wanted => {}
            }
        }
    }

    async fn read_keys(&self) -> Result<KeySet, FetchError> {
        let reading = async {
            let json = timeout(REQUEST, self.endpoint.get())
                .await
                .map_err(|_| FetchError::TooSlow)??;
            // An issuer that withdraws all its keys says so with a set without any: those that were known are bad then.
            KeySet::read(&json).ok_or(FetchError::NoKeySet)
        };
        let read = self.breaker.call(reading, |_| true).await;
        read.map_err(|error| match error {
            CallError::Failed(error) => error,
            CallError::Open(_) => FetchError::Refused,
        })
    }
}

impl State {
    fn look_up(&self, id: Option<&str>, algorithm: Algorithm) -> Lookup {
        match self.read_at {
            Some(at) if at.elapsed() < KEEP => self.keys.look_up(id, algorithm),
            _ => Lookup::Missing,
        }
    }
}

/// Spread, so that the instances of a fleet don't ask together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.75..1.0))
}
