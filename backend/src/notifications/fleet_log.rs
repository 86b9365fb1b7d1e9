//! The logs of a fleet, as the database tells what was written. One instance reads them at a time: it holds a lease, whose
//! row also has the position, so that another one that believes to hold it stores nothing.

use std::time::{Duration, Instant};

use protocol::Timestamp;
use storage::{Lease, LogFollower, StoreError};

use super::Notifications;

/// The cursor.
const LOG: &str = "notifications";

/// How long an instance that is gone keeps others waiting.
const LEASE: Duration = Duration::from_secs(15);

/// How often the position is written down while nothing happens.
const RENEW: Duration = Duration::from_secs(4);

/// Between two attempts to get the lease, and after a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// Entries that are derived together.
const ENTRIES: usize = 500;

/// Derives notifications whenever no other instance does, for ever.
pub(super) async fn run(notifications: &Notifications) {
    loop {
        match lead(notifications).await {
            // Somebody else does.
            Ok(()) => {}
            Err(error) => {
                notifications.counts.failed();
                tracing::warn!(%error, "notifications wait");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Derives notifications as long as this instance has the lease.
async fn lead(notifications: &Notifications) -> Result<(), StoreError> {
    let (cursors, holder) = (&notifications.cursors, &notifications.holder);
    let now = Timestamp::now();
    let Some(lease) = cursors.lease(LOG, holder, now, LEASE).await? else {
        return Ok(());
    };
    let mut position = lease.position.clone();
    let mut follower = follow(notifications, position.as_deref()).await?;
    let mut written_at: Option<Instant> = None;
    loop {
        let (entries, reached) = follower.next(ENTRIES).await?;
        let is_due = written_at.is_none_or(|at| at.elapsed() >= RENEW);
        let Some(reached) = reached else { continue };
        if entries.is_empty() && !is_due {
            continue;
        }
        let advance = lease.advance(&reached, Timestamp::now(), LEASE);
        if !notifications.add(&entries, vec![advance]).await? {
            tracing::info!("another instance derives notifications now");
            return Ok(());
        }
        position.replace(reached);
        written_at = Some(Instant::now());
    }
}

/// Follows the logs; from now on if what is behind the position isn't to be had any more.
async fn follow(
    notifications: &Notifications,
    position: Option<&str>,
) -> Result<LogFollower, StoreError> {
    let follower = match notifications.store.follow(position).await {
        Err(StoreError::NotFound) => {
            notifications.counts.lost_position();
            notifications.store.follow(None).await?
        }
        follower => follower?,
    };
    follower.ok_or_else(|| {
        let no_follower = std::io::Error::other("the store can't be followed");
        StoreError::Internal(std::sync::Arc::new(no_follower))
    })
}

impl Notifications {
    /// Lets another instance derive notifications at once.
    pub async fn step_down(&self) {
        if !self.bus.has_peers() {
            return;
        }
        let released = async {
            let now = Timestamp::now();
            // Only the holder gets it again.
            let lease: Option<Lease> = self
                .cursors
                .lease(LOG, &self.holder, now, Duration::ZERO)
                .await?;
            match lease {
                Some(lease) => self.cursors.release(&lease).await,
                None => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "the lease of the logs wasn't given back");
        }
    }
}
