//! What waits in the tables, for metrics: looked at from time to time, since counting it takes as long as there is much of it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::Timestamp;
use storage::{JobStore, StoreError, WaitingJobs};
use tokio::{sync::watch, time::sleep};

/// Between two looks.
const APART: Duration = Duration::from_secs(10);

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

    /// Looks, until `stop` is true.
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
        Ok(Seen {
            at: Instant::now(),
            waiting: self.store.waiting(now).await?,
            dead: self.store.dead_counts().await?,
        })
    }
}
