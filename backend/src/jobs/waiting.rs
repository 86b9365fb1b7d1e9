//! What waits in the tables, for metrics: looked at from time to time, since counting it takes as long as there is much of it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::Timestamp;
use storage::{JobStore, StoreError, WaitingJobs};
use tokio::{sync::watch, time::sleep};

/// Between two looks.
const APART: Duration = Duration::from_secs(10);

/// How long dead letters are kept.
const DEAD_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What waits, as it was a moment ago.
pub struct Waiting {
    store: JobStore,
    seen: Mutex<Option<Seen>>,
}

/// What there was.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Jobs by kind.
    pub waiting: Vec<WaitingJobs>,
    /// Dead letters by kind.
    pub dead: Vec<(String, u64)>,
}

impl Waiting {
    pub(super) fn new(store: JobStore) -> Self {
        Self {
            store,
            seen: Mutex::new(None),
        }
    }

    /// The last look, unless the last one failed.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.lock().clone()
    }

    /// Looks, until `stop` is true, and removes what is dead for long.
    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let look = async {
            loop {
                let looked = self.look().await;
                if let Err(error) = &looked {
                    tracing::debug!(%error, "waiting jobs can't be counted");
                }
                *self.seen.lock() = looked.ok();
                sleep(APART).await;
            }
        };
        tokio::select! {
            () = look => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn look(&self) -> Result<Seen, StoreError> {
        let now = Timestamp::now();
        let kept = i64::try_from(DEAD_KEPT.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_unix_ms(now.unix_ms() - kept);
        let removed = self.store.drop_dead_before(before).await?;
        if removed > 0 {
            tracing::warn!(removed, "dead letters were removed for their age");
        }
        Ok(Seen {
            at: Instant::now(),
            waiting: self.store.waiting(now).await?,
            dead: self.store.dead_counts().await?,
        })
    }
}
