//! The circuit breakers of remote dependencies: one of each for the whole process, and of a fleet what the instances tell each
//! other of them (`sharing.rs`).
//!
//! MongoDB and Redis have none, since they are part of the durable path. Redis' clients refuse commands by themselves while a
//! server is away, and what goes on without it is decided where it is used; a write to MongoDB with an unknown outcome has to be
//! repeated until the outcome is known, which a circuit that refuses it would prevent.
//!
//! What must stay true: whether a call is admitted is decided here alone, without I/O; nothing that comes from another instance
//! decides against what this one has seen.

mod dependency;
mod sharing;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use circuit_breaker::{Breaker, Cause, Mode, State, Transition};
use protocol::{Circuit, CircuitMode, CircuitState, ErrorCode};
use redis_client::RedisClient;

pub use self::dependency::{CircuitSettings, Dependency};
use self::sharing::{Finding, Sharing};
use crate::{
    error::AppError,
    fleet::bus::{Bus, Kind, Lost, Malformed, Reader, Receiver},
};

/// The circuit breakers of this process.
pub struct Circuits {
    settings: CircuitSettings,
    /// Of the dependencies in use.
    breakers: [OnceLock<Arc<Breaker>>; Dependency::ALL.len()],
    /// Of an instance of a fleet.
    sharing: Option<Arc<Sharing>>,
}

impl Circuits {
    /// Those of a single instance.
    pub fn alone(settings: CircuitSettings) -> Self {
        Self::new(settings, None)
    }

    /// Those of one instance of a fleet, whose keys in `redis` begin with `key_prefix`.
    pub fn of_fleet(
        settings: CircuitSettings,
        redis: RedisClient,
        key_prefix: &str,
        bus: Arc<Bus>,
    ) -> Self {
        let sharing = Sharing::new(redis, key_prefix, bus);
        Self::new(settings, Some(Arc::new(sharing)))
    }

    fn new(settings: CircuitSettings, sharing: Option<Arc<Sharing>>) -> Self {
        Self {
            settings,
            breakers: Default::default(),
            sharing,
        }
    }

    /// The breaker of a dependency, which is in use from now on.
    pub fn breaker(&self, dependency: Dependency) -> Arc<Breaker> {
        let breaker = self.breakers[dependency as usize].get_or_init(|| {
            let breaker = Breaker::new(self.settings.of(dependency));
            let sharing = self.sharing.clone();
            breaker.observe(move |transition| {
                log(dependency, transition);
                if let (Some(sharing), Some(finding)) = (&sharing, finding(transition)) {
                    sharing.tell(dependency, finding);
                }
            });
            Arc::new(breaker)
        });
        breaker.clone()
    }

    /// The breakers in use, by name.
    pub fn in_use(&self) -> impl Iterator<Item = (Dependency, &Arc<Breaker>)> {
        Dependency::ALL
            .into_iter()
            .zip(&self.breakers)
            .filter_map(|(dependency, breaker)| Some((dependency, breaker.get()?)))
    }

    /// The circuits in use, as this instance has them.
    pub fn list(&self) -> Vec<Circuit> {
        self.in_use()
            .map(|(dependency, breaker)| describe(dependency, breaker))
            .collect()
    }

    /// Sets what decides on a circuit, on all instances, and forgets outcomes.
    ///
    /// # Errors
    /// `not_found` if there is none of this name in use, `unavailable` if the other instances can't be told.
    pub async fn set(&self, name: &str, mode: CircuitMode) -> Result<Circuit, AppError> {
        let named = Dependency::named(name);
        let known = named.and_then(|wanted| self.in_use().find(|(known, _)| *known == wanted));
        let (dependency, breaker) = known.ok_or_else(|| AppError::not_found("circuit"))?;
        let mode = match mode {
            CircuitMode::Automatic => Mode::Automatic,
            CircuitMode::Open => Mode::Open,
            CircuitMode::Closed => Mode::Closed,
        };
        match &self.sharing {
            None => breaker.reset(mode),
            Some(sharing) => {
                let directed = sharing.direct(dependency, mode).await;
                directed.map_err(|error| {
                    tracing::warn!(%error, circuit = name, "a circuit couldn't be set");
                    let message = "the other instances can't be told; try again";
                    AppError::new(ErrorCode::Unavailable, message)
                })?;
                self.apply_directives().await;
            }
        }
        Ok(describe(dependency, breaker))
    }

    /// Does what other instances said and what administrators decided, for ever. Of a fleet.
    pub async fn run(&self) {
        let Some(sharing) = &self.sharing else { return };
        loop {
            self.apply_directives().await;
            for (dependency, breaker) in self.in_use() {
                if let Some(refused_for) = sharing.opened_elsewhere(dependency).await {
                    breaker.hear_of_opening(refused_for);
                }
            }
            sharing.wait().await;
        }
    }

    async fn apply_directives(&self) {
        let Some(sharing) = &self.sharing else { return };
        let apply = |dependency: Dependency, mode| {
            let breaker = self.breakers[dependency as usize].get();
            breaker.map(|breaker| breaker.reset(mode)).is_some()
        };
        sharing.apply_directives(apply).await;
    }
}

impl Receiver for Circuits {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::CIRCUIT]
    }

    fn receive(&self, _: &str, _: Kind, fields: Reader<'_>) -> Result<(), Malformed> {
        let Some(sharing) = &self.sharing else {
            return Ok(());
        };
        if let Some((dependency, finding)) = sharing.read(fields)?
            && let Some(breaker) = self.breakers[dependency as usize].get()
        {
            match finding {
                Finding::Opened(refused_for) => breaker.hear_of_opening(refused_for),
                Finding::Closed => breaker.hear_of_closing(),
            };
        }
        Ok(())
    }

    fn interrupted(&self, lost: &Lost<'_>) {
        if let Some(sharing) = &self.sharing
            && lost.includes_everybody()
        {
            sharing.look_again();
        }
    }
}

/// What of a transition the other instances should know: what this one has found out by itself. A probe that failed is no news to
/// them: each has its own.
fn finding(transition: Transition) -> Option<Finding> {
    match transition.cause {
        Cause::Failures => Some(Finding::Opened(transition.refused_for)),
        Cause::ProbeSucceeded => Some(Finding::Closed),
        Cause::Heard
        | Cause::Probe
        | Cause::ProbeFailed
        | Cause::ProbeDropped
        | Cause::Operator => None,
    }
}

fn log(dependency: Dependency, transition: Transition) {
    let (circuit, cause) = (dependency.name(), transition.cause);
    match (transition.to, cause) {
        (State::Open, Cause::ProbeDropped) | (State::HalfOpen, _) => {
            tracing::debug!(circuit, ?cause, "the circuit changed");
        }
        (State::Open, _) => {
            let refused_for = transition.refused_for;
            tracing::warn!(
                circuit,
                ?cause,
                ?refused_for,
                "the circuit is open: calls are refused"
            );
        }
        (State::Closed, _) => tracing::info!(circuit, ?cause, "the circuit is closed again"),
    }
}

fn describe(dependency: Dependency, breaker: &Breaker) -> Circuit {
    let (settings, now) = (breaker.settings(), breaker.snapshot());
    let millis = |duration: Duration| duration.as_millis() as u64;
    Circuit {
        name: dependency.name().to_owned(),
        state: match now.state {
            State::Closed => CircuitState::Closed,
            State::HalfOpen => CircuitState::HalfOpen,
            State::Open => CircuitState::Open,
        },
        mode: match now.mode {
            Mode::Automatic => CircuitMode::Automatic,
            Mode::Open => CircuitMode::Open,
            Mode::Closed => CircuitMode::Closed,
        },
        failure_threshold: settings.failure_threshold,
        recovery_timeout_ms: millis(settings.recovery_timeout),
        calls: now.calls,
        failures: now.failures,
        rejected: breaker.counts().rejected,
        retry_after_ms: now.retry_after.map(millis),
    }
}
