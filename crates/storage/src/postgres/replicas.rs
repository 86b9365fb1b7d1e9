//! Replicas, which take reads in turn while they are known to keep up.
//!
//! How far a replica is, is measured in positions of the primary's write-ahead log. The monitor notes where that log is at
//! moments of its own clock, and then asks the replicas how far they have replayed it. A replica that has replayed the position
//! of a moment has all that was committed before it, whatever the clocks of the servers say and however long nobody has
//! written; so its lag is known, and also whether it has what somebody wrote.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;

use super::pool::Pool;
use super::stats::{ReplicaState, ReplicaStats};

/// A replica that is further behind is left out.
pub(super) const MAX_LAG: Duration = Duration::from_secs(5);

/// Moments that are remembered: ten minutes of them.
const MOMENTS: usize = 1_200;

/// A position in the primary's write-ahead log, in bytes.
pub(super) type Position = u64;

pub(super) struct Replicas {
    replicas: Vec<Replica>,
    next: AtomicUsize,
    /// Where the primary's log was, and when it was asked for that; the latest last.
    moments: Mutex<VecDeque<(Instant, Position)>>,
}

impl Replicas {
    pub(super) fn new(servers: &[PgConnectOptions], pool_size: u32) -> Self {
        let replicas = servers.iter().map(|options| Replica {
            pool: Pool::new(options.clone(), pool_size),
            progress: Mutex::default(),
            failed: Notify::new(),
        });
        Self {
            replicas: replicas.collect(),
            next: AtomicUsize::new(0),
            moments: Mutex::default(),
        }
    }

    pub(super) fn any(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// The next replica in rotation that has everything up to `written`.
    pub(super) fn choose(&self, written: Option<Instant>) -> Option<&Replica> {
        let count = self.replicas.len();
        if count == 0 {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut in_turn =
            (0..count).map(|offset| &self.replicas[first.wrapping_add(offset) % count]);
        in_turn.find(|replica| replica.progress.lock().has(written))
    }

    /// The primary's log was at `position` at some time after `asked`.
    pub(super) fn primary_was_at(&self, asked: Instant, position: Position) {
        let mut moments = self.moments.lock();
        // Another server has become the primary, whose log is shorter by what was lost: what is known is of another log.
        if moments.back().is_some_and(|(_, last)| *last > position) {
            moments.clear();
        }
        if moments.len() == MOMENTS {
            moments.pop_front();
        }
        moments.push_back((asked, position));
    }

    /// What each of the replicas answered when it was asked how far it is. `primary_answered`: whether the primary did so
    /// before; if not, nobody knows how far behind the replicas are, and those that were in rotation stay: they have
    /// what they had, and those who must see more are sent to the primary.
    pub(super) fn measured(
        &self,
        primary_answered: bool,
        answers: &[Result<Position, &'static str>],
    ) {
        for (number, (replica, answer)) in self.replicas.iter().zip(answers).enumerate() {
            let before = replica.progress.lock().state;
            let after = self.measure(replica, primary_answered, *answer);
            match (before, after) {
                (ReplicaState::InRotation, ReplicaState::Lagging) => {
                    tracing::warn!(
                        replica = number + 1,
                        "a replica of PostgreSQL lags and is left out"
                    );
                }
                (ReplicaState::InRotation | ReplicaState::Unknown, ReplicaState::Failed) => {
                    let reason = answer.err();
                    tracing::warn!(
                        replica = number + 1,
                        reason,
                        "a replica of PostgreSQL fails and is left out"
                    );
                }
                (ReplicaState::Lagging | ReplicaState::Failed, ReplicaState::InRotation) => {
                    tracing::info!(
                        replica = number + 1,
                        "a replica of PostgreSQL is used again"
                    );
                }
                _ => {}
            }
        }
    }

    fn measure(
        &self,
        replica: &Replica,
        primary_answered: bool,
        answer: Result<Position, &'static str>,
    ) -> ReplicaState {
        let mut progress = replica.progress.lock();
        match answer {
            Err(_) => {
                *progress = Progress {
                    state: ReplicaState::Failed,
                    ..Progress::default()
                };
                replica.failed.notify_waiters();
            }
            Ok(position) if primary_answered => {
                *progress = Progress::new(&self.moments.lock(), position, Instant::now());
            }
            Ok(_) if progress.state == ReplicaState::InRotation => {}
            Ok(_) => progress.state = ReplicaState::Unknown,
        }
        progress.state
    }

    /// Up to when those in rotation have everything; `None` if there is none.
    pub(super) fn covered(&self) -> Option<Instant> {
        let covered = self.replicas.iter().filter_map(|replica| {
            let progress = replica.progress.lock();
            let in_rotation = progress.state == ReplicaState::InRotation;
            progress.covers.filter(|_| in_rotation)
        });
        covered.min()
    }

    pub(super) fn stats(&self) -> Vec<ReplicaStats> {
        let stats = self.replicas.iter().map(|replica| {
            let progress = replica.progress.lock();
            ReplicaStats {
                state: progress.state,
                lag: progress.lag,
                lag_bytes: progress.lag_bytes,
                pool: replica.pool.stats(),
            }
        });
        stats.collect()
    }

    pub(super) async fn close(&self) {
        join_all(self.replicas.iter().map(|replica| replica.pool.close())).await;
    }
}

/// One replica.
pub(super) struct Replica {
    pub(super) pool: Pool,
    progress: Mutex<Progress>,
    failed: Notify,
}

impl Replica {
    /// Ends when the monitor finds that the replica fails.
    pub(super) async fn failed(&self) {
        self.failed.notified().await;
    }
}

/// How far a replica was when it was last asked.
#[derive(Debug, Default)]
struct Progress {
    state: ReplicaState,
    /// It has everything that was committed before this.
    covers: Option<Instant>,
    lag: Option<Duration>,
    lag_bytes: Option<u64>,
}

impl Progress {
    fn new(moments: &VecDeque<(Instant, Position)>, position: Position, now: Instant) -> Self {
        let reached = moments.partition_point(|(_, at)| *at <= position);
        let covers = reached.checked_sub(1).map(|last| moments[last].0);
        // It has waited for the next position since that was noted.
        let lag = moments
            .get(reached)
            .map_or(Duration::ZERO, |(since, _)| now.duration_since(*since));
        let head = moments.back().map_or(position, |(_, at)| *at);
        let keeps_up = covers.is_some() && lag <= MAX_LAG;
        Self {
            state: if keeps_up {
                ReplicaState::InRotation
            } else {
                ReplicaState::Lagging
            },
            covers,
            lag: Some(lag),
            lag_bytes: Some(head.saturating_sub(position)),
        }
    }

    /// True if it may answer who must see all that was written up to `written`.
    fn has(&self, written: Option<Instant>) -> bool {
        self.state == ReplicaState::InRotation
            && written.is_none_or(|written| self.covers.is_some_and(|covers| written <= covers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(positions: &[Position], began: Instant) -> VecDeque<(Instant, Position)> {
        let moments = positions.iter().zip(0..);
        moments
            .map(|(position, second)| (began + SECOND * second, *position))
            .collect()
    }

    #[test]
    fn who_has_replayed_the_last_position_doesnt_lag_however_long_nobody_writes() {
        let began = Instant::now();
        let moments = at(&[100, 100, 100, 100], began);
        let progress = Progress::new(&moments, 100, began + SECOND * 3_600);
        assert_eq!(progress.state, ReplicaState::InRotation);
        assert_eq!(
            (progress.lag, progress.lag_bytes),
            (Some(Duration::ZERO), Some(0))
        );
        assert_eq!(progress.covers, Some(began + SECOND * 3));
    }

    #[test]
    fn lag_is_the_time_since_the_first_position_that_is_missing() {
        let began = Instant::now();
        let moments = at(&[100, 200, 300, 400], began);
        let progress = Progress::new(&moments, 250, began + SECOND * 4);
        assert_eq!(progress.state, ReplicaState::InRotation);
        assert_eq!(
            (progress.lag, progress.lag_bytes),
            (Some(SECOND * 2), Some(150))
        );
        assert_eq!(progress.covers, Some(began + SECOND));
        assert!(progress.has(None));
        assert!(progress.has(Some(began + SECOND)));
        assert!(!progress.has(Some(began + SECOND * 2)));
        let progress = Progress::new(&moments, 250, began + SECOND * 8);
        assert_eq!(progress.state, ReplicaState::Lagging);
        assert!(!progress.has(None));
        // Behind all that is remembered.
        let progress = Progress::new(&moments, 50, began + SECOND * 3);
        assert_eq!(
            (progress.state, progress.covers),
            (ReplicaState::Lagging, None)
        );
    }

    #[tokio::test]
    async fn without_the_primary_those_in_rotation_stay_and_no_other_comes() {
        let options = PgConnectOptions::new_without_pgpass();
        let replicas = Replicas::new(&[options.clone(), options], 1);
        let states = || {
            replicas
                .stats()
                .into_iter()
                .map(|replica| replica.state)
                .collect::<Vec<_>>()
        };
        let began = Instant::now();
        replicas.primary_was_at(began, 100);
        replicas.measured(true, &[Ok(100), Err("test")]);
        assert_eq!(states(), [ReplicaState::InRotation, ReplicaState::Failed]);
        replicas.measured(false, &[Ok(100), Ok(100)]);
        assert_eq!(states(), [ReplicaState::InRotation, ReplicaState::Unknown]);
        assert!(replicas.choose(Some(began)).is_some());
        assert!(replicas.choose(Some(Instant::now())).is_none());
        assert_eq!(replicas.covered(), Some(began));
        replicas.measured(false, &[Err("test"), Err("test")]);
        assert!(replicas.choose(None).is_none());
        // A primary whose log is shorter: positions of the other's prove nothing.
        replicas.primary_was_at(Instant::now(), 90);
        replicas.measured(true, &[Ok(80), Ok(90)]);
        assert_eq!(states(), [ReplicaState::Lagging, ReplicaState::InRotation]);
    }
}
