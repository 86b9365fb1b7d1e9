//! What waits to be written to one connection.
//!
//! Bounded in bytes. When the bound is met, volatile events go first; then the backlog of every topic is dropped and
//! the topics are marked as lagging, for the application to say so once; replies are never dropped. What still doesn't
//! fit means that the client doesn't read, and ends the connection. Memory is allocated only while something is queued.
//!
//! Whatever is queued gets written: each push finds the connection dirty (a flusher will come), blocked (its task will,
//! when the socket takes more) or flushing (who flushes looks again), or makes its caller call a flusher.

mod batch;
mod queued;

use std::collections::VecDeque;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use self::queued::Queued;
pub(crate) use self::{
    batch::Batch,
    queued::{REPLY, TopicId},
};
use crate::{byte_budget::ByteBudget, frame::Frame};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Polling,
    WebSocket,
    /// Nothing is accepted any more.
    Closed,
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// Queued, and somebody will write it already.
    Queued,
    /// Queued; the caller has to see that the connection gets flushed.
    Dirty,
    /// Dropped: volatile, or of a topic that lags already, or the connection is closed.
    Dropped,
    /// Topics began to lag; the caller has to report that to the application.
    Lagging,
    /// Not even replies fit.
    Full,
}

/// Packets of one polling payload. The official Python client takes no more than 16, and one may say that this is all.
const MAX_PACKETS: usize = 15;

pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    /// Bytes of the first frame that are written already. That frame is kept, whatever else is dropped.
    offset: usize,
    /// Cost of what is queued and of what is being written.
    cost: usize,
    /// What of it is counted with what waits for other clients; the connection's to change.
    pub(crate) counted: usize,
    transport: Transport,
    /// In a flusher's list.
    dirty: bool,
    /// Somebody writes right now, outside the lock.
    flushing: bool,
    /// The socket took no more; the connection's task waits until it does.
    blocked: bool,
    /// When it was first found blocked since the socket took anything.
    stalled_at: Option<u64>,
    /// Topics whose backlog was dropped and whose lag hasn't been reported to the application yet.
    lagging: Option<Box<SmallVec<[TopicId; 8]>>>,
    /// A polling request that waits for something to send.
    poll: Option<oneshot::Sender<()>>,
    /// The next one isn't to wait.
    released: bool,
}

impl Outbox {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            queue: VecDeque::new(),
            offset: 0,
            cost: 0,
            counted: 0,
            stalled_at: None,
            transport,
            dirty: false,
            flushing: false,
            blocked: false,
            lagging: None,
            poll: None,
            released: false,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The socket takes no more, and nobody is trying.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked && !self.flushing
    }

    /// More than half of `limit` waits for a flush.
    pub(crate) fn is_filling(&self, limit: usize) -> bool {
        !self.blocked && self.cost > limit / 2
    }

    /// More than half of `limit` waits for a socket that takes no more.
    pub(crate) fn is_congested(&self, limit: usize) -> bool {
        self.blocked && self.cost > limit / 2
    }

    pub(crate) fn is_larger_than(&self, limit: usize) -> bool {
        self.cost > limit
    }

    /// What counts with what waits for other clients: all that waits for a socket that takes no more, or for polls.
    pub(crate) fn waiting(&self) -> usize {
        if self.blocked || self.transport == Transport::Polling {
            ByteBudget::counted(self.cost)
        } else {
            0
        }
    }

    /// To be asked now and then: whether the socket has taken nothing at all for longer than `patience`.
    pub(crate) fn is_stuck(&mut self, now: u64, patience: u64) -> bool {
        if !self.blocked {
            self.stalled_at = None;
            return false;
        }
        now >= *self.stalled_at.get_or_insert(now) + patience
    }

    /// Drops all that may be dropped; true if topics began to lag.
    pub(crate) fn shed(&mut self) -> bool {
        self.retain(|queued| !queued.frame.is_volatile());
        self.shed_topics(REPLY)
    }

    pub(crate) fn is_lagging(&self, topic: TopicId) -> bool {
        self.lagging.as_ref().is_some_and(|l| l.contains(&topic))
    }

    /// Queues `frame`, of `topic`, under a bound of `limit` bytes. A frame alone may be larger than the bound.
    pub(crate) fn push(&mut self, frame: &Frame, topic: TopicId, limit: usize) -> Push {
        if self.transport == Transport::Closed || self.is_lagging(topic) {
            return Push::Dropped;
        }
        let queued = Queued {
            frame: frame.clone(),
            topic,
        };
        let cost = queued.cost();
        let mut began_to_lag = false;
        if self.cost + cost > limit && self.cost > 0 {
            if frame.is_volatile() {
                return Push::Dropped;
            }
            self.retain(|queued| !queued.frame.is_volatile());
            if self.cost + cost > limit {
                began_to_lag = self.shed_topics(topic);
                if topic != REPLY {
                    return if began_to_lag {
                        Push::Lagging
                    } else {
                        Push::Dropped
                    };
                }
                // A reply may go past the bound as far again before the client counts as gone.
                if self.cost + cost > limit.saturating_mul(2) {
                    return Push::Full;
                }
            }
        }
        self.cost += cost;
        self.queue.push_back(queued);
        if began_to_lag {
            return Push::Lagging;
        }
        if self.dirty || self.blocked || self.flushing {
            return Push::Queued;
        }
        self.dirty = true;
        Push::Dirty
    }

    /// Drops what is queued of all topics, and whatever else comes of `also`; true if nothing lagged before.
    fn shed_topics(&mut self, also: TopicId) -> bool {
        let mut shed: SmallVec<[TopicId; 8]> = SmallVec::new();
        if also != REPLY {
            shed.push(also);
        }
        self.retain(|queued| {
            if queued.topic != REPLY && !shed.contains(&queued.topic) {
                shed.push(queued.topic);
            }
            queued.topic == REPLY
        });
        if shed.is_empty() {
            return false;
        }
        match &mut self.lagging {
            Some(lagging) => {
                lagging.extend(shed);
                false
            }
            None => {
                self.lagging = Some(Box::new(shed));
                true
            }
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&Queued) -> bool) {
        let mut begun = self.offset > 0;
        let cost = &mut self.cost;
        self.queue.retain(|queued| {
            let kept = std::mem::take(&mut begun) || keep(queued);
            if !kept {
                *cost -= queued.cost();
            }
            kept
        });
    }

    /// The next topic whose lag hasn't been reported.
    pub(crate) fn first_lagging(&self) -> Option<TopicId> {
        self.lagging.as_ref()?.first().copied()
    }

    /// Ends the lag of `topic`, which has no subscription of this connection any more.
    pub(crate) fn lag_reported(&mut self, topic: TopicId) {
        if let Some(lagging) = &mut self.lagging {
            lagging.retain(|id| *id != topic);
            if lagging.is_empty() {
                self.lagging = None;
            }
        }
    }

    /// Starts a flush of a WebSocket connection; for a polling one wakes the waiting request instead.
    pub(crate) fn begin_flush(&mut self) -> Option<Batch> {
        self.dirty = false;
        if self.queue.is_empty() || self.flushing {
            return None;
        }
        match self.transport {
            Transport::WebSocket => {
                self.flushing = true;
                Some(self.batch())
            }
            Transport::Polling => {
                self.wake_poll();
                None
            }
            Transport::Closed => None,
        }
    }

    fn batch(&mut self) -> Batch {
        let offset = std::mem::take(&mut self.offset);
        Batch {
            queue: std::mem::take(&mut self.queue),
            offset,
            began: offset,
            written: 0,
        }
    }

    /// Returns what wasn't written to the front; true if there is more to flush right now.
    pub(crate) fn end_flush(&mut self, mut batch: Batch, blocked: bool) -> bool {
        self.flushing = false;
        self.blocked = blocked;
        self.cost -= batch.written;
        if batch.written > 0 || batch.offset != batch.began {
            self.stalled_at = None;
        }
        if !batch.queue.is_empty() {
            batch.queue.append(&mut self.queue);
            self.queue = batch.queue;
            self.offset = batch.offset;
        }
        !blocked && !self.queue.is_empty()
    }

    /// Frames that are queued, and bytes that these and the ones being written count for.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.cost)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn has_poll(&self) -> bool {
        self.poll.is_some()
    }

    /// Lets a polling request wait. The receiver ends when there is something to send, or to say; with a value, when
    /// the request is to be answered whatever there is.
    pub(crate) fn wait_poll(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.poll = Some(sender);
        if self.released {
            self.release_poll();
        }
        receiver
    }

    /// Ends the polling request that waits, or comes next: it was sent on its way before this, but may arrive after it.
    pub(crate) fn release_poll(&mut self) {
        self.released = match self.poll.take() {
            // It has been dropped just now, or takes it.
            Some(poll) => poll.send(()).is_err(),
            None => true,
        };
    }

    pub(crate) fn wake_poll(&mut self) {
        // Dropping the sender wakes the receiver too.
        self.poll = None;
    }

    /// Takes Engine.IO packets for one polling payload of about `max` bytes and at most 15 packets, separated as payloads
    /// are; at least one frame if there is any. Returns an empty text if nothing is queued.
    pub(crate) fn take_payload(&mut self, max: usize) -> String {
        use base64::Engine;
        let mut payload = String::new();
        let mut packets = 0;
        while let Some(queued) = self.queue.front() {
            let length: usize = queued
                .frame
                .packets()
                .map(|(bytes, binary)| {
                    if binary {
                        bytes.len() * 4 / 3 + 5
                    } else {
                        bytes.len() + 1
                    }
                })
                .sum();
            packets += queued.frame.packets().count();
            if !payload.is_empty() && (payload.len() + length > max || packets > MAX_PACKETS) {
                break;
            }
            for (bytes, binary) in queued.frame.packets() {
                if !payload.is_empty() {
                    payload.push('\u{1e}');
                }
                if binary {
                    payload.push('b');
                    base64::engine::general_purpose::STANDARD.encode_string(bytes, &mut payload);
                } else {
                    payload.push_str(&String::from_utf8_lossy(bytes));
                }
            }
            self.cost -= queued.cost();
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        payload
    }

    /// From here on a WebSocket connection; what is queued goes there. True if there is anything.
    pub(crate) fn switch_to_websocket(&mut self) -> bool {
        self.transport = Transport::WebSocket;
        self.wake_poll();
        !self.queue.is_empty()
    }

    /// Accepts nothing any more; what is queued stays for a last flush.
    pub(crate) fn close(&mut self) {
        self.transport = Transport::Closed;
        self.lagging = None;
        self.wake_poll();
    }

    /// Closes and gives the rest of the queue for a last flush; `None` while somebody else writes.
    pub(crate) fn end(&mut self) -> Option<Batch> {
        if self.flushing {
            return None;
        }
        self.close();
        self.cost = 0;
        Some(self.batch())
    }
}

#[cfg(test)]
mod tests;
