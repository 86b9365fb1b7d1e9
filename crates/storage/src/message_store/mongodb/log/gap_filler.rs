//! Fills gaps in the logs with tombstones, behind which the rooms go on. The unique key of an entry decides who was first:
//! a writer that comes later finds its `seq` taken and reserves another.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use protocol::RoomId;

use super::super::counts::Counts;
use super::super::failure::{Failure, Outcome};
use super::gaps::missing;
use super::{Entries, GapWatch, RoomHead, VisibleHeads};
use crate::StoreError;

/// How often rooms with gaps are read.
const EVERY: Duration = Duration::from_millis(250);

/// Rooms that are read at once.
const AT_ONCE: usize = 8;

/// Fills gaps. Cloning shares it.
#[derive(Clone)]
pub struct GapFiller {
    entries: Entries,
    heads: VisibleHeads,
    gaps: Arc<GapWatch>,
    counts: Arc<Counts>,
}

impl GapFiller {
    pub fn new(
        entries: &Entries,
        heads: &VisibleHeads,
        gaps: &Arc<GapWatch>,
        counts: &Arc<Counts>,
    ) -> Self {
        Self {
            entries: entries.clone(),
            heads: heads.clone(),
            gaps: Arc::clone(gaps),
            counts: Arc::clone(counts),
        }
    }

    /// Looks after the rooms with gaps until the store is gone.
    pub async fn run(filler: Weak<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(filler) = filler.upgrade() else {
                return;
            };
            futures_util::stream::iter(filler.gaps.rooms())
                .for_each_concurrent(AT_ONCE, |room| {
                    let filler = &filler;
                    async move { filler.look_after(&room).await }
                })
                .await;
        }
    }

    async fn look_after(&self, room: &RoomId) {
        match self.fill_overdue(room).await {
            Ok(()) => {}
            Err(Failure::Refused(StoreError::NotFound)) => self.gaps.forget(room),
            Err(error) => {
                tracing::debug!(?error, "a room with a gap can't be read");
                self.gaps.unreadable(room);
            }
        }
    }

    async fn fill_overdue(&self, room: &RoomId) -> Outcome<()> {
        let now = Instant::now();
        let head = self.heads.of(room).await?;
        let looked = self.heads.look(room, &head).await?;
        let missing = missing(looked.visible, &looked.above);
        let overdue = self.gaps.note(room, &missing, now);
        if overdue.is_empty() {
            return Ok(());
        }
        tracing::info!(%room, seqs = overdue.len(), "gaps are filled that nobody came to write");
        self.entries.fill(room, &overdue).await?;
        self.counts.gaps_filled.add(overdue.len());
        self.heads.look(room, &head).await?;
        Ok(())
    }

    /// Fills reserved `seq`s that aren't needed after all, so that nobody waits for them.
    pub async fn fill_unused(&self, room: &RoomId, head: &RoomHead, seqs: &[u64]) {
        if seqs.is_empty() {
            return;
        }
        match self.entries.fill(room, seqs).await {
            Ok(()) => {
                self.counts.returned.add(seqs.len());
                self.heads.written(room, head, seqs);
            }
            Err(failure) => {
                tracing::debug!(?failure, %room, "unused seqs are left to be filled later");
                self.gaps.watch(room);
            }
        }
    }
}
