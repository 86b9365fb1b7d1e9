//! Jobs of each day of UTC, which are enqueued by whoever notices that the day has begun.

use std::time::Duration;

use job_queue::JobQueue;
use protocol::Day;
use storage::StoreError;
use tokio::{sync::watch, time::sleep};

use super::retention::ExpireDeadJobs;
use crate::rollups::RollUp;

/// How often it is looked whether a day has begun. Another process may have enqueued its jobs, which makes them no second ones
/// while they wait, and does no harm afterwards.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Enqueues the jobs of the day, until `stop` is true.
pub(super) async fn run(queue: &JobQueue, mut stop: watch::Receiver<bool>) {
    let enqueue_all = async {
        let mut last = None;
        loop {
            let day = Day::today();
            if last != Some(day) {
                match enqueue(queue, day).await {
                    Ok(()) => last = Some(day),
                    Err(error) => tracing::warn!(%error, "the jobs of the day wait for an hour"),
                }
            }
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = enqueue_all => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn enqueue(queue: &JobQueue, day: Day) -> Result<(), StoreError> {
    queue.enqueue(&ExpireDeadJobs { day }).await?;
    queue.enqueue(&RollUp { day }).await
}
