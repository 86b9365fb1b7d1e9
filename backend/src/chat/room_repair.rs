//! Bringing rooms up to date with their logs, where events were lost between instances or come late.
//!
//! What must stay true: an event that is durable reaches every subscriber, in its turn, whatever the bus loses. A place
//! whose writer died is sealed by the store, which notices it when the log is read here; so reading goes on until
//! nothing is missing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::RoomId;
use redis_client::partition_of;
use storage::StoreError;

use super::room_feed::{FeedEvent, Mending, RoomFeed};
use crate::app::SharedApp;

/// Another instance's event is mostly here a moment after the one that overtook it.
const FIRST_PAUSE: Duration = Duration::from_millis(40);

/// Between two looks into a log that doesn't go on.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Events read at a time.
const PAGE: u32 = 100;

/// How often the rooms written to are compared with what came here: with one look to be sure, an event whose
/// publication was lost is seen 2 s later.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Reads the log behind the feed's head until nothing is missing, unless somebody does already.
pub(super) fn start(app: &SharedApp, feed: &Arc<RoomFeed>) {
    if feed.needs_mending()
        && let Some(mending) = feed.begin_mending()
    {
        let (app, feed) = (app.clone(), feed.clone());
        tokio::spawn(async move { go_on(&app, &feed, mending, FIRST_PAUSE).await });
    }
}

/// As [`start`], at once, and waits for the end; not for that of somebody else's work.
pub(super) async fn finish(app: &SharedApp, feed: &Arc<RoomFeed>) {
    if feed.needs_mending()
        && let Some(mending) = feed.begin_mending()
    {
        go_on(app, feed, mending, Duration::ZERO).await;
    }
}

async fn go_on(app: &SharedApp, feed: &Arc<RoomFeed>, mut mending: Mending, pause: Duration) {
    loop {
        mend(app, feed, pause).await;
        drop(mending);
        // What was said while it ended would be heard by nobody.
        if !feed.needs_mending() {
            return;
        }
        match feed.begin_mending() {
            Some(again) => mending = again,
            None => return,
        }
    }
}

async fn mend(app: &SharedApp, feed: &Arc<RoomFeed>, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        if !feed.needs_mending() {
            return;
        }
        let Some(after) = feed.begin_reading() else {
            return;
        };
        match app
            .store
            .events(feed.id(), after, u64::MAX, PAGE, None)
            .await
        {
            Ok(page) => {
                for stored in page.items {
                    match FeedEvent::of_log(stored) {
                        Ok(event) => app.feeds.release_in(app, feed, event),
                        Err(error) => {
                            tracing::error!(%error, room = %feed.id(), "a durable event can't be encoded");
                        }
                    }
                }
                if page.has_more {
                    feed.doubt();
                    pause = Duration::ZERO;
                }
            }
            // Deleted; it wasn't heard here.
            Err(StoreError::NotFound) => return app.feeds.close(app, feed.id()),
            // Logged where it arose.
            Err(_) => feed.doubt(),
        }
    }
}

/// Compares the rooms that have subscribers here with those written to lately, for ever: an instance that died between
/// writing and publishing told nobody.
pub async fn compare(app: &SharedApp) {
    let mut ticks = tokio::time::interval(COMPARE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut behind: HashMap<RoomId, u64> = HashMap::new();
    loop {
        ticks.tick().await;
        let mut partitions: Vec<u16> = app
            .feeds
            .all()
            .iter()
            .map(|feed| partition_of(feed.id().as_str()))
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        let written = match app.store.recently_written(&partitions).await {
            Ok(written) => written,
            Err(error) => {
                tracing::debug!(%error, "rooms written to lately can't be read");
                continue;
            }
        };
        let was_behind = std::mem::take(&mut behind);
        for (room, last) in written {
            let Some(head) = app.feeds.head_seq(&room) else {
                continue;
            };
            if was_behind.get(&room).is_some_and(|last| head < *last) {
                app.feeds.doubt(app, &room);
            }
            if head < last {
                behind.insert(room, last);
            }
        }
    }
}
