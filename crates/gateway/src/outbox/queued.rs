//! A frame in a queue.

use crate::frame::Frame;

/// Identifies a topic within this process; 0 is a reply, which no policy may drop.
pub(crate) type TopicId = u32;
pub(crate) const REPLY: TopicId = 0;

pub(super) struct Queued {
    pub(super) frame: Frame,
    pub(super) topic: TopicId,
}

/// Bytes that a queued frame counts for beside its own: what a small one costs in memory. Without them a client that
/// makes the server queue tiny frames (pongs) and reads none would hold a hundred times the bound.
pub(super) const OVERHEAD: usize = 128;

impl Queued {
    /// What it counts for in its connection's queue, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.frame.size() + OVERHEAD
    }
}
