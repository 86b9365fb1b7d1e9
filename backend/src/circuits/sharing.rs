//! What instances tell each other of circuits. The bus carries it at once; Redis keeps it for those who start later or missed it:
//! that a circuit was opened for as long as it refuses calls, and what administrators decided until they decide otherwise.
//!
//! What must stay true: a decision of an administrator is in Redis before anybody is told, and each is applied once, so that all
//! instances end with the last one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use circuit_breaker::Mode;
use redis_client::{RedisClient, RedisError, cmd, partition_of, tag};
use tokio::sync::{Mutex, Notify};

use super::Dependency;
use crate::fleet::bus::{Bus, Kind, Malformed, Message, Reader, Writer};

/// How often Redis is asked for what no message said.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What an instance found out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Its calls failed; it refuses them for so long.
    Opened(Duration),
    /// Its probe succeeded.
    Closed,
}

/// What is sent to all instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Found(Dependency, Finding),
    /// An administrator decided.
    Directed,
}

const OPENED: u64 = 0;
const CLOSED: u64 = 1;
const DIRECTED: u64 = 2;

impl Message for Notice {
    fn kind(&self) -> Kind {
        Kind::CIRCUIT
    }

    fn write(&self, fields: &mut Writer<'_>) {
        match self {
            Self::Directed => fields.number(DIRECTED),
            Self::Found(dependency, Finding::Opened(refused_for)) => {
                fields.number(OPENED);
                fields.text(dependency.name());
                fields.number(refused_for.as_millis() as u64);
            }
            Self::Found(dependency, Finding::Closed) => {
                fields.number(CLOSED);
                fields.text(dependency.name());
            }
        }
    }
}

impl Notice {
    /// `None` for what only newer instances know.
    fn read(fields: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let what = fields.number()?;
        if what == DIRECTED {
            return Ok(Some(Self::Directed));
        }
        let Some(dependency) = Dependency::named(fields.text()?) else {
            return Ok(None);
        };
        let finding = match what {
            OPENED => Finding::Opened(Duration::from_millis(fields.number()?)),
            CLOSED => Finding::Closed,
            _ => return Ok(None),
        };
        Ok(Some(Self::Found(dependency, finding)))
    }
}

/// One instance's share in what all know of circuits.
pub(super) struct Sharing {
    redis: RedisClient,
    /// Begins every key; all lie in one slot.
    prefix: String,
    bus: Arc<Bus>,
    look: Notify,
    /// The decisions that were applied, as Redis has them. Held while they are read and applied, so that an older one that was read
    /// earlier isn't applied after a newer one.
    applied: Mutex<HashMap<String, String>>,
}

impl Sharing {
    pub(super) fn new(redis: RedisClient, key_prefix: &str, bus: Arc<Bus>) -> Self {
        let tag = tag(partition_of("circuits"));
        Self {
            redis,
            prefix: format!("{{{tag}}}{key_prefix}:circuits"),
            bus,
            look: Notify::new(),
            applied: Mutex::default(),
        }
    }

    /// Tells the others what was found, and those who start later. Doesn't wait.
    pub(super) fn tell(&self, dependency: Dependency, finding: Finding) {
        self.bus.send_to_all(&Notice::Found(dependency, finding));
        let key = self.key(dependency);
        let command = match finding {
            // Who opened first has the say for how long.
            Finding::Opened(refused_for) => cmd("SET")
                .arg(key)
                .arg(1)
                .arg("PX")
                .arg((refused_for.as_millis() as u64).max(1))
                .arg("NX")
                .take(),
            Finding::Closed => cmd("UNLINK").arg(key).take(),
        };
        let redis = self.redis.clone();
        let write = async move {
            if let Err(error) = redis.run::<()>(command).await {
                tracing::debug!(%error, "who starts now doesn't learn of the circuit's state");
            }
        };
        // There is none at the end of the program.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(write);
        }
    }

    /// What another instance sent. A decision is read from Redis by [`wait`](Self::wait)'s caller.
    pub(super) fn read(
        &self,
        mut fields: Reader<'_>,
    ) -> Result<Option<(Dependency, Finding)>, Malformed> {
        match Notice::read(&mut fields)? {
            Some(Notice::Found(dependency, finding)) => Ok(Some((dependency, finding))),
            Some(Notice::Directed) => {
                self.look_again();
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Has [`wait`](Self::wait) return.
    pub(super) fn look_again(&self) {
        self.look.notify_one();
    }

    /// Returns when it is time to look into Redis again.
    pub(super) async fn wait(&self) {
        // Either is a reason to look.
        drop(tokio::time::timeout(LOOK_EVERY, self.look.notified()).await);
    }

    /// For how long some instance's circuit still refuses calls.
    pub(super) async fn opened_elsewhere(&self, dependency: Dependency) -> Option<Duration> {
        let left = self
            .redis
            .run::<i64>(cmd("PTTL").arg(self.key(dependency)))
            .await;
        let left = left.inspect_err(|error| {
            tracing::debug!(%error, "the other instances' circuits aren't known");
        });
        // Negative without a key.
        let left = u64::try_from(left.ok()?).ok()?;
        Some(Duration::from_millis(left))
    }

    /// Writes an administrator's decision and tells the others.
    pub(super) async fn direct(
        &self,
        dependency: Dependency,
        mode: Mode,
    ) -> Result<(), RedisError> {
        let mode = match mode {
            Mode::Automatic => "automatic",
            Mode::Open => "open",
            Mode::Closed => "closed",
        };
        // The number tells it from an earlier one to the same effect.
        let decision = format!("{mode}:{:016x}", rand::random::<u64>());
        let forget = cmd("UNLINK").arg(self.key(dependency)).take();
        self.redis.run::<()>(forget).await?;
        let write = cmd("HSET")
            .arg(&self.prefix)
            .arg(dependency.name())
            .arg(decision)
            .take();
        self.redis.run::<()>(write).await?;
        self.bus.send_to_all(&Notice::Directed);
        Ok(())
    }

    /// Has `apply` apply the decisions in Redis that it wasn't given yet; it says whether it could.
    pub(super) async fn apply_directives(&self, apply: impl Fn(Dependency, Mode) -> bool) {
        let command = cmd("HGETALL").arg(&self.prefix).take();
        let mut applied = self.applied.lock().await;
        let decisions = match self.redis.run::<HashMap<String, String>>(command).await {
            Ok(decisions) => decisions,
            Err(error) => {
                tracing::debug!(%error, "administrators' decisions on circuits can't be read");
                return;
            }
        };
        for (name, decision) in decisions {
            if applied.get(&name) == Some(&decision) {
                continue;
            }
            let mode = match decision.split(':').next() {
                Some("automatic") => Some(Mode::Automatic),
                Some("open") => Some(Mode::Open),
                Some("closed") => Some(Mode::Closed),
                _ => None,
            };
            if let (Some(dependency), Some(mode)) = (Dependency::named(&name), mode)
                && apply(dependency, mode)
            {
                applied.insert(name, decision);
            }
        }
    }

    fn key(&self, dependency: Dependency) -> String {
        format!("{}:{}", self.prefix, dependency.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::round_trip;

    #[test]
    fn notices_cross_the_bus_unchanged() {
        let found = [
            Finding::Opened(Duration::from_millis(1_500)),
            Finding::Closed,
        ];
        let notices = found.map(|finding| Notice::Found(Dependency::Jwks, finding));
        for notice in notices.into_iter().chain([Notice::Directed]) {
            let read = round_trip(&notice, |_, mut fields| Notice::read(&mut fields));
            assert_eq!(read, Some(notice));
        }
    }
}
