//! Removal of entries for their age: by one instance at a time, in bounded steps.

use std::time::Duration;

use protocol::Timestamp;
use storage::AuditStore;
use tokio::time::sleep;

use super::{counts::Counts, fleet::streams::Streams};

/// How often entries are removed.
const PERIOD: Duration = Duration::from_secs(3_600);

/// The first time, after the start.
const FIRST: Duration = Duration::from_secs(60);

/// Entries that are removed at once, and the pause after them: others write meanwhile.
const STEP: u32 = 5_000;
const STEP_PAUSE: Duration = Duration::from_millis(100);

/// Removes what is older than so many days, from time to time. With `streams`, if it is this instance's turn.
pub async fn run(store: &AuditStore, days: u32, streams: Option<&Streams>, counts: &Counts) {
    sleep(FIRST).await;
    loop {
        let mine = match streams {
            None => true,
            Some(streams) => streams
                .take_turn("retention", PERIOD.as_secs() as usize - 60)
                .await
                .unwrap_or(false),
        };
        if mine {
            remove(store, days, counts).await;
            if let Some(streams) = streams
                && let Err(error) = streams.forget_consumers().await
            {
                tracing::debug!(%error, "consumers of the audit log that ended are still known");
            }
        }
        sleep(PERIOD).await;
    }
}

async fn remove(store: &AuditStore, days: u32, counts: &Counts) {
    let age = i64::from(days) * 24 * 3_600 * 1_000;
    let before = Timestamp::from_unix_ms(Timestamp::now().unix_ms() - age);
    loop {
        match store.delete_before(before, STEP).await {
            Ok(removed) => {
                counts.delete(removed);
                if removed < u64::from(STEP) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old entries of the audit log couldn't be removed");
                return;
            }
        }
        sleep(STEP_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use protocol::AuditOutcome;
    use storage::AuditFilter;

    use super::*;
    use crate::audit::record::Record;

    #[tokio::test]
    async fn what_is_too_old_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = AuditStore::open(directory.path()).await.unwrap();
        let days_ago = |days: i64| {
            let mut entry = Record::new("room.create", AuditOutcome::Succeeded).into_entry("i");
            let age = days * 24 * 3_600 * 1_000;
            entry.at = Timestamp::from_unix_ms(Timestamp::now().unix_ms() - age);
            entry
        };
        let entries = [days_ago(0), days_ago(29), days_ago(31), days_ago(400)];
        store.insert(&entries).await.unwrap();
        let counts = Counts::default();
        remove(&store, 30, &counts).await;
        let left = store
            .export(&AuditFilter::default(), None, 10)
            .await
            .unwrap();
        assert_eq!(left, [entries[1].clone(), entries[0].clone()]);
        assert_eq!(counts.deleted(), 2);
        store.close().await;
    }
}
