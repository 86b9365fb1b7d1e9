//! Decisions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis_client::{RedisClient, RedisError};
use tokio::runtime::Handle;

use crate::{
    key::Key,
    principal::{Ask, Principal, Step},
    principals::{Counts, Principals},
    shared::{Answer, Shared},
    tier::{Limit, Mode, Shape, Tier},
};

/// How long a request waits for permits to be leased before this instance decides alone.
const LEASE_PATIENCE: Duration = Duration::from_millis(100);

/// Limits of several tiers, which are named by their index. Cloning shares it.
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    tiers: Vec<TierState>,
    shared: Option<Shared>,
    started: Instant,
}

struct TierState {
    name: &'static str,
    mode: Mode,
    /// `None` if it isn't limited.
    limited: Option<Limited>,
}

struct Limited {
    limit: Limit,
    shape: Shape,
    principals: Principals,
}

/// A permit was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Permits of a window; `None` if there is no limit.
    pub limit: Option<u32>,
    /// Those left, as far as this instance knows.
    pub remaining: u32,
    /// When the earliest that was granted here is free again.
    pub reset: Duration,
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Permits of a window.
    pub limit: u32,
    /// How long.
    pub wait: Duration,
}

/// What is counted of one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The limit.
    pub limit: Limit,
    /// Permits that count now, those that instances have leased among them.
    pub used: u32,
    /// After which the next is free, if none are.
    pub wait: Duration,
    /// Whether all instances' permits are in it.
    pub shared: bool,
}

/// What became of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierStats {
    /// Its name.
    pub name: &'static str,
    /// What was decided.
    pub counts: Counts,
    /// Bytes of principals in memory.
    pub bytes: usize,
}

/// One permit of which it isn't known yet whether it counts. Without [`count`](Self::count) it doesn't.
pub struct Reservation {
    limiter: RateLimiter,
    tier: usize,
    key: Key,
    /// Where Redis has counted it.
    slot: Option<u64>,
}

impl RateLimiter {
    /// Limits of a single instance.
    pub fn in_memory(tiers: &[Tier]) -> Self {
        Self::new(tiers, None)
    }

    /// Limits shared with the other instances that use this Redis and prefix.
    pub fn shared(tiers: &[Tier], redis: RedisClient, key_prefix: impl Into<String>) -> Self {
        Self::new(tiers, Some(Shared::new(redis, key_prefix.into())))
    }

    fn new(tiers: &[Tier], shared: Option<Shared>) -> Self {
        let state = |tier: &Tier| TierState {
            name: tier.name,
            mode: tier.mode,
            limited: tier.limit.map(|limit| {
                let shape = Shape::new(limit, tier.mode);
                Limited {
                    limit,
                    shape,
                    principals: Principals::new(shape.memory()),
                }
            }),
        };
        Self(Arc::new(Inner {
            tiers: tiers.iter().map(state).collect(),
            shared,
            started: Instant::now(),
        }))
    }

    /// Takes a permit of a leased tier; `None` if that has to be waited for ([`take`](Self::take)).
    pub fn try_take(&self, tier: usize, key: Key, now: Instant) -> Option<Result<Grant, Refusal>> {
        let Some(limited) = self.limited(tier) else {
            return Some(Ok(Grant::UNLIMITED));
        };
        self.step(tier, limited, key, self.millis(now)).ok()
    }

    /// Takes permits, at most all of a window: all or none. Of a leased tier it takes one.
    ///
    /// # Errors
    /// If the limit is reached.
    pub async fn take(
        &self,
        tier: usize,
        key: Key,
        wanted: u32,
        now: Instant,
    ) -> Result<Grant, Refusal> {
        let Some(limited) = self.limited(tier) else {
            return Ok(Grant::UNLIMITED);
        };
        match self.0.tiers[tier].mode {
            Mode::Strict => {
                let wanted = wanted.min(limited.shape.limit);
                self.take_strict(tier, limited, key, wanted, now).await
            }
            Mode::Leased => self.take_leased(tier, limited, key, now).await,
        }
    }

    /// Reserves a permit of a strict tier whose outcome isn't known yet. Memory can't tell of reservations: where it decides,
    /// callers with one key have to come one after the other.
    ///
    /// # Errors
    /// If the limit is reached.
    pub async fn reserve(
        &self,
        tier: usize,
        key: Key,
        now: Instant,
    ) -> Result<Reservation, Refusal> {
        let slot = match self.limited(tier) {
            Some(limited) => {
                self.reserve_one(tier, limited, key, self.millis(now))
                    .await?
            }
            None => None,
        };
        Ok(Reservation {
            limiter: self.clone(),
            tier,
            key,
            slot,
        })
    }

    /// What is counted of a principal; `None` if the tier isn't limited.
    pub async fn state(&self, tier: usize, key: Key, now: Instant) -> Option<State> {
        let Limited {
            limit,
            shape,
            principals,
        } = self.limited(tier)?;
        if let Some(shared) = self.reachable(key) {
            let name = self.0.tiers[tier].name;
            if let Some(answer) = shared.ask(name, key, shape, Ask::nothing()).await {
                return Some(State {
                    limit: *limit,
                    used: answer.used,
                    wait: Duration::from_millis(answer.wait),
                    shared: true,
                });
            }
        }
        let now = self.millis(now);
        let (used, wait) = principals.with(&key, now, |principal, _| {
            principal.granted.forget(shape, now);
            let wait = principal.granted.wait(shape, 1, now);
            (principal.granted.total(), wait)
        });
        Some(State {
            limit: *limit,
            used,
            wait: Duration::from_millis(wait),
            shared: self.0.shared.is_none(),
        })
    }

    /// Forgets everything that was counted of a principal, here and where it is shared. Other instances have to
    /// [`forget`](Self::forget) what they lease; those that don't hear of it believe no longer than five seconds that the
    /// limit is reached.
    ///
    /// # Errors
    /// If Redis doesn't answer; this instance has forgotten it then.
    pub async fn clear(&self, tier: usize, key: Key) -> Result<(), RedisError> {
        // Before, as this may wait in vain, and after, as what was read meanwhile is old.
        self.forget(tier, key);
        if let Some(shared) = &self.0.shared {
            let cleared = shared.clear(self.0.tiers[tier].name, key).await;
            self.forget(tier, key);
            return cleared;
        }
        Ok(())
    }

    /// Forgets what this instance knows of a principal.
    pub fn forget(&self, tier: usize, key: Key) {
        if let Some(limited) = self.limited(tier) {
            limited.principals.forget(&key);
        }
    }

    /// What became of every tier since the start.
    pub fn stats(&self) -> impl Iterator<Item = TierStats> {
        self.0.tiers.iter().map(|tier| {
            let principals = tier.limited.as_ref().map(|limited| &limited.principals);
            TierStats {
                name: tier.name,
                counts: principals.map(Principals::counts).unwrap_or_default(),
                bytes: principals.map(Principals::bytes).unwrap_or_default(),
            }
        })
    }

    /// Calls of Redis that failed.
    pub fn errors(&self) -> u64 {
        self.0.shared.as_ref().map_or(0, Shared::errors)
    }

    /// How long this instance has counted alone because Redis didn't answer.
    pub fn alone(&self) -> Duration {
        self.0.shared.as_ref().map_or(Duration::ZERO, Shared::alone)
    }

    fn limited(&self, tier: usize) -> Option<&Limited> {
        self.0.tiers[tier].limited.as_ref()
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.0.started).as_millis() as u64
    }

    /// Where permits of a key are counted, unless it is away.
    fn reachable(&self, key: Key) -> Option<&Shared> {
        self.0.shared.as_ref().filter(|shared| !shared.is_away(key))
    }

    /// Decides on a permit of a leased tier, or says what has to be waited for.
    fn step(
        &self,
        tier: usize,
        limited: &Limited,
        key: Key,
        now: u64,
    ) -> Result<Result<Grant, Refusal>, tokio::sync::futures::OwnedNotified> {
        let Limited {
            shape, principals, ..
        } = limited;
        let reachable = self.reachable(key).is_some();
        let (step, ask) = principals.with(&key, now, |principal, counts| {
            let (step, ask) = match (&self.0.shared, reachable) {
                (None, _) => (principal.take_alone(shape, 1, now), None),
                (Some(_), false) => (principal.take_unshared(shape, now), None),
                (Some(_), true) => principal.take_leased(shape, now),
            };
            let decided = match step {
                Step::Granted => Ok(Ok(granted(principal, shape, counts, 1, now))),
                Step::Refused(wait) => Ok(Err(refused(shape, counts, wait))),
                Step::Unknown(answered) => Err(answered),
            };
            (decided, ask)
        });
        if let Some(ask) = ask {
            self.ask_behind(tier, key, ask, now);
        }
        step
    }

    async fn take_leased(
        &self,
        tier: usize,
        limited: &Limited,
        key: Key,
        now: Instant,
    ) -> Result<Grant, Refusal> {
        let (begun, started) = (Instant::now(), self.millis(now));
        loop {
            let now = started + begun.elapsed().as_millis() as u64;
            let answered = match self.step(tier, limited, key, now) {
                Ok(decided) => return decided,
                Err(answered) => answered,
            };
            let left = LEASE_PATIENCE.saturating_sub(begun.elapsed());
            if tokio::time::timeout(left, answered).await.is_err() {
                let Limited {
                    shape, principals, ..
                } = limited;
                return principals.with(&key, now, |principal, counts| {
                    match principal.take_unshared(shape, now) {
                        Step::Refused(wait) => Err(refused(shape, counts, wait)),
                        _ => Ok(granted(principal, shape, counts, 1, now)),
                    }
                });
            }
        }
    }

    /// Asks Redis in the background.
    fn ask_behind(&self, tier: usize, key: Key, ask: Ask, asked: u64) {
        let limiter = self.clone();
        let asking = async move {
            let (Some(limited), Some(shared)) = (limiter.limited(tier), &limiter.0.shared) else {
                return;
            };
            let Limited {
                shape, principals, ..
            } = limited;
            let answer = shared
                .ask(limiter.0.tiers[tier].name, key, shape, ask)
                .await;
            let now = limiter.millis(Instant::now()).max(asked);
            principals.with(&key, now, |principal, counts| {
                principal.answered(shape, ask, answer, asked, now);
                counts.leased += u64::from(answer.map_or(0, |answer| answer.taken));
            });
        };
        // Without one the program ends.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(asking);
        }
    }

    async fn take_strict(
        &self,
        tier: usize,
        limited: &Limited,
        key: Key,
        wanted: u32,
        now: Instant,
    ) -> Result<Grant, Refusal> {
        let Limited {
            shape, principals, ..
        } = limited;
        let now = self.millis(now);
        let answer = self.ask_exactly(tier, shape, key, wanted).await;
        principals.with(&key, now, |principal, counts| {
            let step = match answer {
                Some(Answer { taken, wait, .. }) if taken < wanted => Step::Refused(wait),
                Some(_) => {
                    principal.granted.forget(shape, now);
                    principal.granted.add(shape, wanted, now);
                    Step::Granted
                }
                None => principal.take_alone(shape, wanted, now),
            };
            if let Step::Refused(wait) = step {
                return Err(refused(shape, counts, wait));
            }
            let mut grant = granted(principal, shape, counts, wanted, now);
            if let Some(Answer { used, .. }) = answer {
                grant.remaining = shape.limit.saturating_sub(used);
            }
            Ok(grant)
        })
    }

    async fn reserve_one(
        &self,
        tier: usize,
        limited: &Limited,
        key: Key,
        now: u64,
    ) -> Result<Option<u64>, Refusal> {
        let Limited {
            shape, principals, ..
        } = limited;
        let answer = self.ask_exactly(tier, shape, key, 1).await;
        let wait = match answer {
            Some(Answer { taken: 1.., .. }) => 0,
            Some(Answer { wait, .. }) => wait.max(1),
            None => {
                let wait = principals.look(&key, |known| known.granted.wait(shape, 1, now));
                wait.unwrap_or(0)
            }
        };
        if wait > 0 {
            let mut refusal = None;
            principals.count(&key, |counts| refusal = Some(refused(shape, counts, wait)));
            return refusal.map_or(Ok(None), Err);
        }
        principals.count(&key, |counts| counts.granted += 1);
        Ok(answer.map(|Answer { slot, .. }| slot))
    }

    /// `None` if this instance has to decide.
    async fn ask_exactly(
        &self,
        tier: usize,
        shape: &Shape,
        key: Key,
        wanted: u32,
    ) -> Option<Answer> {
        let shared = self.reachable(key)?;
        let name = self.0.tiers[tier].name;
        shared.ask(name, key, shape, Ask::exactly(wanted)).await
    }
}

impl Grant {
    /// There is no limit.
    const UNLIMITED: Self = Self {
        limit: None,
        remaining: u32::MAX,
        reset: Duration::ZERO,
    };
}

fn granted(
    principal: &Principal,
    shape: &Shape,
    counts: &mut Counts,
    permits: u32,
    now: u64,
) -> Grant {
    counts.granted += u64::from(permits);
    Grant {
        limit: Some(shape.limit),
        remaining: principal.remaining(shape),
        reset: Duration::from_millis(principal.granted.reset(shape, now)),
    }
}

fn refused(shape: &Shape, counts: &mut Counts, wait: u64) -> Refusal {
    counts.refused += 1;
    Refusal {
        limit: shape.limit,
        wait: Duration::from_millis(wait),
    }
}

impl Reservation {
    /// Counts it.
    pub fn count(mut self, now: Instant) {
        self.slot = None;
        let now = self.limiter.millis(now);
        if let Some(limited) = self.limiter.limited(self.tier) {
            limited.principals.with(&self.key, now, |principal, _| {
                principal.granted.forget(&limited.shape, now);
                principal.granted.add(&limited.shape, 1, now);
            });
        }
    }

    /// Forgets it and everything that was counted for its key.
    pub async fn reset(mut self) {
        self.limiter.forget(self.tier, self.key);
        let counted = self.slot.take().is_some();
        if let (true, Some(shared)) = (counted, &self.limiter.0.shared) {
            let cleared = shared.clear(self.limiter.0.tiers[self.tier].name, self.key);
            if let Err(error) = cleared.await {
                tracing::debug!(%error, "a limit wasn't reset");
            }
        }
    }
}

/// Without an outcome nothing counts.
impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        let (limiter, tier, key) = (self.limiter.clone(), self.tier, self.key);
        let give_back = async move {
            if let (Some(limited), Some(shared)) = (limiter.limited(tier), &limiter.0.shared) {
                let name = limiter.0.tiers[tier].name;
                let given = shared.ask(name, key, &limited.shape, Ask::give_back(slot));
                if given.await.is_none() {
                    tracing::debug!(
                        "a permit wasn't given back; it is out of the window by itself"
                    );
                }
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(give_back);
        }
    }
}
