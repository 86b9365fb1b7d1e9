//! Bringing a feed up to date with its room's log, where events were lost between instances or arrive late.
//!
//! What must stay true: a durable event reaches every subscriber, in order, whatever the bus loses. The store fills a gap
//! whose writer died when it notices it, as the log is read here; so reading goes on until nothing is missing.

use std::{sync::Arc, time::Duration};

use gateway::Hub;
use storage::{MessageStore, StoreError};

use crate::media_urls::MediaUrls;

use super::{FeedEvent, Released, RepairGuard, RoomFeed};

/// Another instance's event is usually here a moment after the one that overtook it.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(40);

/// Between two reads of a log that doesn't go on.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Events read at a time.
const PAGE: u32 = 100;

/// How a repair ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repaired {
    /// The feed is up to date, or is being repaired by somebody else.
    Done,
    /// The room was deleted.
    RoomDeleted,
    /// Too many events wait for one that can't be read: subscribers have to start over from this `seq`.
    Overflow(u64),
}

impl RoomFeed {
    /// Reads the log from the head on until nothing is missing, first after `pause`.
    pub(in crate::chat) async fn repair(
        self: &Arc<Self>,
        store: &MessageStore,
        urls: &MediaUrls,
        hub: &Hub,
        mut guard: RepairGuard,
        pause: Duration,
    ) -> Repaired {
        loop {
            let repaired = self.read_log(store, urls, hub, pause).await;
            drop(guard);
            if repaired != Repaired::Done {
                return repaired;
            }
            // Again, for what was marked while the repair ended.
            match self.try_repair() {
                Some(again) => guard = again,
                None => return Repaired::Done,
            }
        }
    }

    async fn read_log(
        &self,
        store: &MessageStore,
        urls: &MediaUrls,
        hub: &Hub,
        mut pause: Duration,
    ) -> Repaired {
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            if !self.needs_repair() {
                return Repaired::Done;
            }
            let Some(after) = self.take_stale() else {
                return Repaired::Done;
            };
            match store.events(self.id(), after, u64::MAX, PAGE, None).await {
                Ok(page) => {
                    for stored in page.items {
                        let seq = stored.seq;
                        match FeedEvent::of_log(stored, urls) {
                            Ok(event) => {
                                if self.release(hub, event) == Released::TooMany {
                                    return Repaired::Overflow(seq);
                                }
                            }
                            Err(error) => {
                                tracing::error!(%error, room = %self.id(), seq, "a durable event can't be encoded");
                            }
                        }
                    }
                    if page.has_more {
                        self.mark_stale();
                        pause = Duration::ZERO;
                    }
                }
                // The message that said so was lost.
                Err(StoreError::NotFound) => return Repaired::RoomDeleted,
                // Logged by the store.
                Err(_) => self.mark_stale(),
            }
        }
    }
}
