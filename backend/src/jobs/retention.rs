//! Removing what failed for good long ago, as a job of its own: once a day, whoever runs jobs.

use std::time::Duration;

use job_queue::{Handler, Job, JobId, KindSettings, Retries};
use protocol::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use storage::JobStore;

/// How long dead letters are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

const SETTINGS: KindSettings = KindSettings {
    concurrency: 1,
    time_limit: Duration::from_secs(60),
    retries: Retries::PATIENT,
};

/// Removes dead letters that are older than [`KEPT`].
#[derive(Serialize, Deserialize)]
pub(super) struct ExpireDeadJobs {
    /// On which day.
    pub(super) day: Day,
}

impl Job for ExpireDeadJobs {
    const KIND: &'static str = "jobs.expire_dead";

    fn id(&self) -> JobId {
        JobId::new(self.day.to_string())
    }
}

pub(super) fn handler(store: JobStore) -> Handler {
    Handler::new(SETTINGS, move |_: ExpireDeadJobs, _| {
        let store = store.clone();
        async move {
            let removed = store.drop_dead_before(Timestamp::now().minus(KEPT)).await?;
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
