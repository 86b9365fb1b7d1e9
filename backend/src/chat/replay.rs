//! What a connection missed of a room, and is sent when it is subscribed.

use std::sync::Arc;

use protocol::{Epoch, UserId, limits::MISSED_MAX};

use super::room_feed::FeedEvent;
use crate::page::ENTRIES_BYTES_MAX;

/// Bytes of events that one connection is sent at once, at most: its queue has to hold them. The rest is paged.
pub const REPLAY_BYTES: usize = ENTRIES_BYTES_MAX;

/// The point up to which a client has a room's events.
#[derive(Debug, Clone)]
pub struct Since {
    /// The last `seq` it has.
    pub seq: u64,
    /// The epoch that it knows, if it says so.
    pub epoch: Option<Epoch>,
    /// Bytes of missed events that it may be sent.
    pub bytes: usize,
}

/// What a new subscriber gets before everything that is published from then on.
pub struct Replay {
    /// The `seq` up to which this goes; later events follow live.
    pub head_seq: u64,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The events after [`Since::seq`], at most [`MISSED_MAX`] and [`Since::bytes`].
    pub events: Vec<Arc<FeedEvent>>,
    /// Whether these are all up to `head_seq`.
    pub complete: bool,
    /// Whether what the client has is of another log, so that it has to begin anew.
    pub reset: bool,
}

impl Replay {
    /// The size of its events for a viewer.
    pub fn bytes(&self, viewer: &UserId) -> usize {
        bytes(&self.events, viewer)
    }
}

/// The size of events for a viewer.
pub(super) fn bytes(events: &[Arc<FeedEvent>], viewer: &UserId) -> usize {
    events.iter().map(|event| event.bytes_for(viewer)).sum()
}

/// Cuts `events` to [`MISSED_MAX`] and `max_bytes`. True if nothing was cut off.
pub(super) fn truncate(
    events: &mut Vec<Arc<FeedEvent>>,
    viewer: &UserId,
    max_bytes: usize,
) -> bool {
    let all = events.len();
    let mut left = max_bytes;
    let fits = |event: &&Arc<FeedEvent>| match left.checked_sub(event.bytes_for(viewer)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let fitting = events.iter().take_while(fits).count();
    events.truncate(fitting.min(MISSED_MAX));
    events.len() == all
}
