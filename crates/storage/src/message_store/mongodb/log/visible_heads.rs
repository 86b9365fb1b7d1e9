//! The visible heads of the rooms that this instance deals with, in memory. A head moves on with what this instance
//! writes itself, and with what it finds when it reads from there on. Now and then it is saved in the room's document,
//! so that a start needn't read the whole log. What was visible once stays visible.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use protocol::{Epoch, RoomId};

use super::super::super::Head;
use super::super::cached::RoomLookup;
use super::super::failure::Outcome;
use super::super::generations::Generations;
use super::room_head::contiguous;
use super::words::DueBlocks;
use super::{Entries, GapWatch, RoomHead};
use crate::StoreError;

/// Rooms in memory at most; of those, the half that was used last certainly is. About 300 bytes each.
const CAPACITY: usize = 50_000;

/// Entries that are looked through with one read.
const LOOKED_THROUGH: usize = 2_000;

/// Rooms that are asked about at once.
const AT_ONCE: usize = 16;

/// What was found on reading a log from its visible head on.
pub struct Looked {
    /// The visible head now.
    pub visible: u64,
    /// `seq`s above it that are written, ascending.
    pub above: Vec<u64>,
}

/// Knows how far logs can be seen. Cloning shares it.
#[derive(Clone)]
pub struct VisibleHeads {
    entries: Entries,
    rooms: RoomLookup,
    gaps: Arc<GapWatch>,
    due: Arc<DueBlocks>,
    heads: Arc<Mutex<Generations<RoomId, Arc<RoomHead>>>>,
}

impl VisibleHeads {
    pub fn new(
        entries: &Entries,
        rooms: &RoomLookup,
        gaps: &Arc<GapWatch>,
        due: &Arc<DueBlocks>,
    ) -> Self {
        Self {
            entries: entries.clone(),
            rooms: rooms.clone(),
            gaps: Arc::clone(gaps),
            due: Arc::clone(due),
            heads: Arc::new(Mutex::new(Generations::new(CAPACITY))),
        }
    }

    /// What is known of a room's head. `NotFound` if there is no such room.
    pub async fn of(&self, room: &RoomId) -> Outcome<Arc<RoomHead>> {
        let facts = self.rooms.facts(room).await?;
        Ok(self.in_memory(room, &facts.epoch))
    }

    fn in_memory(&self, room: &RoomId, epoch: &Epoch) -> Arc<RoomHead> {
        let mut heads = self.heads.lock();
        let known = heads.get(room).filter(|head| head.epoch == *epoch);
        known.unwrap_or_else(|| {
            let head = Arc::new(RoomHead::new(epoch.clone()));
            heads.insert(room.clone(), Arc::clone(&head));
            head
        })
    }

    /// How far a room's log goes, read anew. `NotFound` if there is no such room.
    pub async fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        let head = self.of(room).await?;
        Ok(Head {
            seq: self.read(room, &head).await?,
            epoch: head.epoch.clone(),
        })
    }

    /// The visible heads of rooms that exist, in their order, read anew.
    pub async fn read_all(&self, rooms: &[RoomId]) -> Outcome<Vec<u64>> {
        let mut reading = Vec::with_capacity(rooms.len());
        for room in rooms {
            reading.push(self.read_one(room));
        }
        stream::iter(reading).buffered(AT_ONCE).try_collect().await
    }

    async fn read_one(&self, room: &RoomId) -> Outcome<u64> {
        let head = self.of(room).await?;
        self.read(room, &head).await
    }

    /// The visible head of a room, read anew.
    pub async fn read(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        Ok(self.look(room, head).await?.visible)
    }

    /// Reads on from the visible head, as far as there is no gap.
    pub async fn look(&self, room: &RoomId, head: &RoomHead) -> Outcome<Looked> {
        let mut visible = self.known(room, head).await?;
        loop {
            let seqs = self
                .entries
                .seqs_after(room, visible, LOOKED_THROUGH)
                .await?;
            let is_whole = seqs.len() < LOOKED_THROUGH;
            let reached = contiguous(visible, seqs.iter().copied());
            let above: Vec<u64> = seqs.into_iter().filter(|seq| *seq > reached).collect();
            let is_stuck = reached == visible;
            visible = reached;
            self.seen_to(room, head, visible);
            if is_whole || is_stuck {
                if !above.is_empty() {
                    self.gaps.watch(room);
                }
                return Ok(Looked { visible, above });
            }
        }
    }

    /// The visible head as it is remembered, or else as it was saved last.
    pub async fn known(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        if let Some(visible) = head.known() {
            return Ok(visible);
        }
        let saved = self.entries.saved_head(room).await?;
        head.saved(saved);
        head.seen_to(saved);
        Ok(head.known().unwrap_or(saved))
    }

    /// The last `seq` of a room that is written, or that the log was trimmed up to, whatever is missing below.
    pub async fn end_of_log(&self, room: &RoomId, head: &RoomHead) -> Outcome<u64> {
        let last = self.entries.last_seq(room).await?;
        Ok(last.max(self.known(room, head).await?))
    }

    /// Notes that these entries of a room are written and durable. If there is a gap below, the room is watched.
    pub fn written(&self, room: &RoomId, head: &RoomHead, seqs: &[u64]) {
        let before = head.known();
        if !head.written(seqs.iter().copied()) {
            self.gaps.watch(room);
        }
        self.moved(room, head, before);
    }

    /// Notes that there is no gap up to a `seq`.
    pub fn seen_to(&self, room: &RoomId, head: &RoomHead, seq: u64) {
        let before = head.known();
        head.seen_to(seq);
        self.moved(room, head, before);
    }

    /// Notes that a read found entries above the visible head.
    pub fn has_gap(&self, room: &RoomId) {
        self.gaps.watch(room);
    }

    /// What follows when a head has moved: now and then it is saved, and the words that it has passed are indexed.
    fn moved(&self, room: &RoomId, head: &RoomHead, before: Option<u64>) {
        if let (Some(before), Some(now)) = (before, head.known()) {
            self.due.moved(room, before, now);
        }
        if let Some(seq) = head.due_for_saving() {
            let (entries, room) = (self.entries.clone(), room.clone());
            tokio::spawn(async move {
                if let Err(error) = entries.save_head(&room, seq).await {
                    tracing::debug!(?error, "a visible head wasn't saved");
                }
            });
        }
    }
}
