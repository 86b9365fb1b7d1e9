//! The session monitor: cleans up what has ended, counts what lives, and reports. It runs on a thread of its own with a
//! runtime of its own, so that nothing it does makes a client wait; and whatever becomes of it, it is started again.
//!
//! Of several instances each does it; what another has done already is passed over.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use protocol::{ErrorCode, Timestamp, UserId};
use rand::RngExt;
use storage::SessionCounts;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::{Accounts, profile};
use crate::error::AppError;

/// How often it runs; the instances of a fleet at different times.
const EVERY: Duration = Duration::from_secs(60);

/// The pause before it is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Of how many runs one looks for guests who are gone.
const GUESTS_EVERY: u64 = 10;

/// Ended sessions are kept for a day: reuse of their tokens is recognised as long.
const SESSIONS_AFTER_MS: i64 = 24 * 3_600_000;

/// A guest without a session that is good can never come back; an hour leaves time for a refresh on its way.
const GUESTS_AFTER_MS: i64 = 3_600_000;

/// Guests checked in one query.
const GUESTS: u32 = 100;

/// What the monitor has done.
#[derive(Default)]
pub struct MonitorStats {
    last_run: Mutex<Option<MonitorRun>>,
    completed: AtomicU64,
    failed: AtomicU64,
    cleaned: AtomicU64,
    restarts: AtomicU64,
}

/// A run that was completed.
#[derive(Debug, Clone, Copy)]
pub struct MonitorRun {
    /// When it ended.
    pub ended: Instant,
    /// What it took.
    pub took: Duration,
    /// The sessions that it found.
    pub counts: SessionCounts,
}

impl MonitorStats {
    /// The last completed run.
    pub fn last_run(&self) -> Option<MonitorRun> {
        *self.last_run.lock()
    }

    /// Sessions that were removed.
    pub fn cleaned(&self) -> u64 {
        self.cleaned.load(Ordering::Relaxed)
    }

    /// Runs by their outcome.
    pub fn runs(&self) -> [(&'static str, u64); 2] {
        [
            ("completed", self.completed.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
        ]
    }

    /// Times that it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

/// Runs the monitor until this is dropped.
pub(super) async fn supervise(accounts: &Arc<Accounts>) {
    let (stats, accounts, server) = (
        accounts.monitor.clone(),
        accounts.clone(),
        Handle::current(),
    );
    on_own_thread(&stats, move || monitor(accounts.clone(), server.clone())).await;
}

/// Runs work on a thread of its own for as long as this is awaited, and again whenever it ends.
async fn on_own_thread<F>(stats: &MonitorStats, work: impl Fn() -> F + Send + Clone + 'static)
where
    F: Future<Output = ()>,
{
    loop {
        // Dropped with this future, which ends the thread.
        let (_running, stop) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel();
        let work = work.clone();
        let thread = thread::Builder::new().name("session-monitor".to_owned());
        let spawned = thread.spawn(move || {
            let outcome = run_until(work, stop);
            // Nobody waits for it any more when the server stops.
            drop(ended.send(outcome));
        });
        let outcome = match spawned {
            Ok(_) => end.await.unwrap_or_else(|_| Err("it vanished".to_owned())),
            Err(error) => Err(error.to_string()),
        };
        stats.restarts.fetch_add(1, Ordering::Relaxed);
        let cause = outcome.err().unwrap_or_else(|| "it ended".to_owned());
        tracing::error!(%cause, "the session monitor failed; starting it again");
        tokio::time::sleep(RESTART).await;
    }
}

fn run_until<F>(work: impl Fn() -> F, stop: oneshot::Receiver<()>) -> Result<(), String>
where
    F: Future<Output = ()>,
{
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let working = AssertUnwindSafe(async { work().await }).catch_unwind();
    runtime.block_on(async {
        tokio::select! {
            outcome = working => outcome.map_err(|_| "it panicked".to_owned()),
            _ = stop => Ok(()),
        }
    })
}

async fn monitor(accounts: Arc<Accounts>, server: Handle) {
    let stats = accounts.monitor.clone();
    for number in 0.. {
        let began = Instant::now();
        let with_guests = number % GUESTS_EVERY == GUESTS_EVERY - 1;
        match run_once(&accounts, &server, with_guests).await {
            Ok(counts) => {
                stats.completed.fetch_add(1, Ordering::Relaxed);
                *stats.last_run.lock() = Some(MonitorRun {
                    ended: Instant::now(),
                    took: began.elapsed(),
                    counts,
                });
            }
            Err(error) => {
                stats.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "sessions couldn't be cleaned up or counted; trying again later");
            }
        }
        pause().await;
    }
}

/// Cleans up, then counts what is left.
async fn run_once(
    accounts: &Arc<Accounts>,
    server: &Handle,
    with_guests: bool,
) -> Result<SessionCounts, AppError> {
    clean_up(accounts, server).await?;
    if with_guests {
        delete_guests(accounts, server).await?;
    }
    let sessions = accounts.sessions.clone();
    let counting = async move { sessions.count_sessions(Timestamp::now()).await };
    on(server, counting).await
}

async fn pause() {
    tokio::time::sleep(EVERY.mul_f64(rand::rng().random_range(0.75..1.25))).await;
}

fn before(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(Timestamp::now().unix_ms() - ms)
}

/// Runs work on the server's runtime. Connections that it opens, and tasks that it starts, are everybody's, and must outlive
/// this thread.
async fn on<T, E>(
    server: &Handle,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, AppError>
where
    T: Send + 'static,
    E: Into<AppError> + Send + 'static,
{
    let outcome = server.spawn(work).await.map_err(AppError::internal)?;
    outcome.map_err(Into::into)
}

async fn clean_up(accounts: &Accounts, server: &Handle) -> Result<(), AppError> {
    loop {
        let (sessions, ended_before) = (accounts.sessions.clone(), before(SESSIONS_AFTER_MS));
        let purging = async move { sessions.purge_sessions(ended_before).await };
        let cleaned = on(server, purging).await?;
        if cleaned == 0 {
            return Ok(());
        }
        let cleaned = cleaned as u64;
        accounts
            .monitor
            .cleaned
            .fetch_add(cleaned, Ordering::Relaxed);
    }
}

/// Deletes guests who won't come back.
async fn delete_guests(accounts: &Arc<Accounts>, server: &Handle) -> Result<(), AppError> {
    let mut after: Option<UserId> = None;
    loop {
        let (store, behind) = (accounts.store.clone(), after.take());
        let reading = async move {
            let created_before = before(GUESTS_AFTER_MS);
            store.guests(created_before, behind.as_ref(), GUESTS).await
        };
        let guests = on(server, reading).await?;
        after = guests.last().cloned();
        if after.is_none() {
            return Ok(());
        }
        let sessions = accounts.sessions.clone();
        let choosing = async move { sessions.without_sessions(guests, Timestamp::now()).await };
        for guest in on(server, choosing).await? {
            let accounts = accounts.clone();
            let deleting = on(
                server,
                async move { profile::delete(&accounts, &guest).await },
            );
            match deleting.await {
                Err(error) if error.code() == ErrorCode::NotFound => {}
                deleted => deleted?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_started_again_after_a_panic_and_ends_with_its_supervisor() {
        let stats = Arc::new(MonitorStats::default());
        let (begun, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
        let (alive, gone) = std::sync::mpsc::channel::<()>();
        let shared = stats.clone();
        let supervising = tokio::spawn(async move {
            let work = move || {
                let (begun, alive) = (begun.clone(), alive.clone());
                async move {
                    let name = thread::current().name().map(str::to_owned);
                    begun.send(name).unwrap();
                    // The third time it goes on for ever.
                    if begun.strong_count() > 0 && shared_runs() < 3 {
                        panic!("of the test");
                    }
                    std::future::pending::<()>().await;
                    drop(alive);
                }
            };
            on_own_thread(&shared, work).await;
        });
        for _ in 0..3 {
            let name = beginnings.recv().await.unwrap();
            assert_eq!(name.as_deref(), Some("session-monitor"));
        }
        assert_eq!(stats.restarts(), 2);
        supervising.abort();
        assert!(supervising.await.unwrap_err().is_cancelled());
        // The thread has dropped everything.
        let ended = tokio::task::spawn_blocking(move || gone.recv());
        assert!(ended.await.unwrap().is_err());
    }

    fn shared_runs() -> u64 {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        RUNS.fetch_add(1, Ordering::SeqCst) + 1
    }
}
