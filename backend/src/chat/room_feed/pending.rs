//! Events that wait in a feed for those before them, bounded in number and in bytes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::event::FeedEvent;

/// Events that may wait for the head or for events before them, and their bytes: some seconds of a very busy room.
pub(super) const PENDING_EVENTS: usize = 10_000;
pub(super) const PENDING_BYTES: usize = 8 << 20;

/// The bytes of waiting events of all rooms together.
pub(super) const ALL_PENDING_BYTES: usize = 64 << 20;

/// Events that wait.
pub(super) struct Pending {
    events: BTreeMap<u64, Arc<FeedEvent>>,
    bytes: usize,
    /// Of all rooms.
    all_bytes: Arc<AtomicUsize>,
}

impl Pending {
    pub(super) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            events: BTreeMap::new(),
            bytes: 0,
            all_bytes,
        }
    }

    /// Adds an event; false if that exceeds a bound.
    pub(super) fn insert(&mut self, event: Arc<FeedEvent>) -> bool {
        let bytes = event.bytes();
        if self.events.contains_key(&event.seq) {
            return true;
        }
        if self.events.len() >= PENDING_EVENTS || self.bytes + bytes > PENDING_BYTES {
            return false;
        }
        if self.all_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > ALL_PENDING_BYTES {
            self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        self.events.insert(event.seq, event);
        true
    }

    /// The first event, if its `seq` is at most this.
    pub(super) fn take_first(&mut self, seq: u64) -> Option<Arc<FeedEvent>> {
        let first = self
            .events
            .first_entry()
            .filter(|first| *first.key() <= seq)?;
        let event = first.remove();
        self.give_back(event.bytes());
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.give_back(self.bytes);
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.clear();
    }
}
