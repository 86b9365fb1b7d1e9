//! Removing what failed for good long ago, as a job of its own: once a day, whoever runs jobs.

use std::time::Duration;

use job_queue::{Handler, Job, JobId, JobQueue, KindSettings, Retries};
use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use storage::JobStore;
use tokio::{sync::watch, time::sleep};

/// How long dead letters are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How often it is looked whether a day has begun. Another process may have enqueued the job of the day, which makes it no second
/// one while it waits, and does no harm afterwards.
const EVERY: Duration = Duration::from_secs(60 * 60);

const SETTINGS: KindSettings = KindSettings {
    concurrency: 1,
    time_limit: Duration::from_secs(60),
    retries: Retries::PATIENT,
};

/// Removes dead letters that are older than [`KEPT`].
#[derive(Serialize, Deserialize)]
struct ExpireDeadJobs {
    /// On which day, such as `2026-05-01`.
    day: String,
}

impl Job for ExpireDeadJobs {
    const KIND: &'static str = "jobs.expire_dead";

    fn id(&self) -> JobId {
        JobId::new(&*self.day)
    }
}

pub(super) fn handler(store: JobStore) -> Handler {
    Handler::new(SETTINGS, move |_: ExpireDeadJobs, _| {
        let store = store.clone();
        async move {
            let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::from_unix_ms(Timestamp::now().unix_ms() - kept);
            let removed = store.drop_dead_before(before).await?;
            if removed > 0 {
                tracing::warn!(
                    removed,
                    "jobs that failed for good were forgotten for their age"
                );
            }
            Ok(())
        }
    })
}

/// Enqueues the job of the day, until `stop` is true.
pub(super) async fn run(queue: &JobQueue, mut stop: watch::Receiver<bool>) {
    let enqueue = async {
        let mut last = String::new();
        loop {
            let mut day = Timestamp::now().to_string();
            day.truncate("2026-05-01".len());
            if day != last {
                match queue.enqueue(&ExpireDeadJobs { day: day.clone() }).await {
                    Ok(()) => last = day,
                    Err(error) => {
                        tracing::warn!(%error, "removing old dead letters waits for an hour");
                    }
                }
            }
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = enqueue => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
