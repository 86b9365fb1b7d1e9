//! What waits to be written to one connection.
//!
//! Bounded in bytes. When the bound is met, volatile events go first; then the backlog of every topic is dropped and
//! the topics are marked as lagging, for the application to say so once; replies are never dropped. What still doesn't
//! fit means that the client doesn't read, and ends the connection. Memory is allocated only while something is queued.

use std::{collections::VecDeque, io, io::IoSlice};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::frame::Frame;

/// Identifies a topic within this process; 0 is a reply, which no policy may drop.
pub(crate) type TopicId = u32;
pub(crate) const REPLY: TopicId = 0;

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
    /// Topics began to lag; the caller has to start telling the application.
    Lagging,
    /// Not even replies fit.
    Full,
}

struct Queued {
    frame: Frame,
    topic: TopicId,
}

pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    /// Bytes queued, those being written included.
    bytes: usize,
    transport: Transport,
    /// In a flusher's list.
    dirty: bool,
    /// Somebody writes right now, outside the lock.
    flushing: bool,
    /// The socket took no more; the connection's task waits until it does.
    blocked: bool,
    /// Topics whose backlog was dropped and whose application hasn't been told yet.
    lagging: Option<Box<SmallVec<[TopicId; 8]>>>,
    /// A polling request that waits for something to send.
    poll: Option<oneshot::Sender<()>>,
}

/// What one flush writes; taken out so that no lock is held during the system call.
pub(crate) struct Batch {
    queue: VecDeque<Queued>,
    /// Bytes of the first frame that are written already.
    offset: usize,
}

impl Outbox {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            transport,
            dirty: false,
            flushing: false,
            blocked: false,
            lagging: None,
            poll: None,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) fn is_lagging(&self, topic: TopicId) -> bool {
        self.lagging.as_ref().is_some_and(|l| l.contains(&topic))
    }

    /// Queues `frame`, of `topic`, under a bound of `limit` bytes. A frame alone may be larger than the bound.
    pub(crate) fn push(&mut self, frame: &Frame, topic: TopicId, limit: usize) -> Push {
        if self.transport == Transport::Closed || self.is_lagging(topic) {
            return Push::Dropped;
        }
        let length = frame.size();
        let mut began_to_lag = false;
        if self.bytes + length > limit && self.bytes > 0 {
            if frame.is_volatile() {
                return Push::Dropped;
            }
            self.retain(|queued| !queued.frame.is_volatile());
            if self.bytes + length > limit {
                began_to_lag = self.shed_topics(topic);
                if topic != REPLY {
                    return if began_to_lag {
                        Push::Lagging
                    } else {
                        Push::Dropped
                    };
                }
                // A reply may go past the bound as far again before the client counts as gone.
                if self.bytes + length > limit.saturating_mul(2) {
                    return Push::Full;
                }
            }
        }
        self.bytes += length;
        self.queue.push_back(Queued {
            frame: frame.clone(),
            topic,
        });
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

    fn retain(&mut self, keep: impl FnMut(&Queued) -> bool) {
        let before: usize = self.queue.iter().map(|q| q.frame.size()).sum();
        self.queue.retain(keep);
        let after: usize = self.queue.iter().map(|q| q.frame.size()).sum();
        self.bytes -= before - after;
    }

    /// The next topic whose lag hasn't been told.
    pub(crate) fn first_lagging(&self) -> Option<TopicId> {
        self.lagging.as_ref()?.first().copied()
    }

    /// Ends the lag of `topic`, which has no subscription of this connection any more.
    pub(crate) fn lag_told(&mut self, topic: TopicId) {
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
                Some(Batch {
                    queue: std::mem::take(&mut self.queue),
                    offset: 0,
                })
            }
            Transport::Polling => {
                self.wake_poll();
                None
            }
            Transport::Closed => None,
        }
    }

    /// Returns what wasn't written to the front; true if there is more to flush right now.
    pub(crate) fn end_flush(&mut self, mut batch: Batch, written: usize, blocked: bool) -> bool {
        self.flushing = false;
        self.blocked = blocked;
        self.bytes -= written;
        if batch.queue.is_empty() {
            return !self.queue.is_empty();
        }
        if batch.offset > 0
            && let Some(front) = batch.queue.front_mut()
        {
            // Written in part: the rest has to follow whatever happens, so it becomes a reply of its own.
            *front = Queued {
                frame: front.frame.remainder(batch.offset),
                topic: REPLY,
            };
        }
        batch.queue.append(&mut self.queue);
        self.queue = batch.queue;
        !blocked
    }

    pub(crate) fn has_poll(&self) -> bool {
        self.poll.is_some()
    }

    /// Lets a polling request wait; the receiver ends when there is something to send, or to say.
    pub(crate) fn wait_poll(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.poll = Some(sender);
        receiver
    }

    pub(crate) fn wake_poll(&mut self) {
        // Dropping the sender wakes the receiver too.
        self.poll = None;
    }

    /// Takes Engine.IO packets for one polling payload of about `max` bytes, separated as payloads are; at least one
    /// frame if there is any. Returns an empty text if nothing is queued.
    pub(crate) fn take_payload(&mut self, max: usize) -> String {
        use base64::Engine;
        let mut payload = String::new();
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
            if !payload.is_empty() && payload.len() + length > max {
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
            self.bytes -= queued.frame.size();
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

    /// The rest of the queue, for the last flush of a closed connection.
    pub(crate) fn take_rest(&mut self) -> Batch {
        self.bytes = 0;
        Batch {
            queue: std::mem::take(&mut self.queue),
            offset: 0,
        }
    }
}

/// Buffers in one `writev`. The kernel's limit is 1,024; beyond 64 nothing is gained.
const MAX_SLICES: usize = 64;

impl Batch {
    /// Writes until all is written or the socket takes no more. Returns the bytes written, and whether it blocked.
    pub(crate) fn write(
        &mut self,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        let mut total = 0;
        while !self.queue.is_empty() {
            let mut slices: SmallVec<[IoSlice<'_>; MAX_SLICES]> = SmallVec::new();
            for (index, queued) in self.queue.iter().take(MAX_SLICES).enumerate() {
                let skip = if index == 0 { self.offset } else { 0 };
                slices.push(IoSlice::new(&queued.frame.wire()[skip..]));
            }
            let result = write(&slices);
            drop(slices);
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok((total, true)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok((total, false))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front() {
            let left = front.frame.size() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.offset = 0;
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn frame(length: usize) -> Frame {
        Frame::engine_text(&"x".repeat(length - 2))
    }

    fn websocket() -> Outbox {
        Outbox::new(Transport::WebSocket)
    }

    /// Writes at most `max` bytes in all, then blocks.
    fn flush(outbox: &mut Outbox, max: usize) -> Vec<u8> {
        let out = std::cell::RefCell::new(Vec::new());
        let mut batch = outbox.begin_flush().unwrap();
        let (written, blocked) = batch
            .write(|slices| {
                let mut taken = 0;
                for slice in slices {
                    let room = max - out.borrow().len();
                    let part = slice.len().min(room);
                    out.borrow_mut().extend_from_slice(&slice[..part]);
                    taken += part;
                }
                if taken == 0 {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(taken)
                }
            })
            .unwrap();
        outbox.end_flush(batch, written, blocked);
        out.into_inner()
    }

    #[test]
    fn only_the_first_frame_makes_it_dirty() {
        let mut outbox = websocket();
        assert_eq!(outbox.push(&frame(10), 1, LIMIT), Push::Dirty);
        assert_eq!(outbox.push(&frame(10), 1, LIMIT), Push::Queued);
        assert_eq!(flush(&mut outbox, 1000).len(), 20);
        assert_eq!(outbox.bytes(), 0);
        assert_eq!(outbox.push(&frame(10), 1, LIMIT), Push::Dirty);
    }

    #[test]
    fn a_partial_write_continues_where_it_stopped() {
        let mut outbox = websocket();
        let (a, b) = (frame(40), frame(30));
        outbox.push(&a, 1, LIMIT);
        outbox.push(&b, 1, LIMIT);
        let mut out = flush(&mut outbox, 50);
        assert!(outbox.is_blocked());
        assert_eq!(outbox.bytes(), 20);
        assert_eq!(outbox.push(&frame(10), 1, LIMIT), Push::Queued);
        out.extend(flush(&mut outbox, 1000));
        assert_eq!(out[..70], [a.wire(), b.wire()].concat());
        assert_eq!(out.len(), 80);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn volatile_events_go_first() {
        let mut outbox = websocket();
        outbox.push(&frame(50).volatile(), 1, LIMIT);
        outbox.push(&frame(40), 1, LIMIT);
        assert_eq!(outbox.push(&frame(20).volatile(), 1, LIMIT), Push::Dropped);
        assert_eq!(outbox.push(&frame(30), 1, LIMIT), Push::Queued);
        assert_eq!(outbox.bytes(), 70);
        assert!(outbox.first_lagging().is_none());
    }

    #[test]
    fn then_the_backlog_of_topics_and_never_a_reply() {
        let mut outbox = websocket();
        outbox.push(&frame(20), REPLY, LIMIT);
        outbox.push(&frame(40), 7, LIMIT);
        outbox.push(&frame(30), 8, LIMIT);
        assert_eq!(outbox.push(&frame(40), 9, LIMIT), Push::Lagging);
        assert_eq!(outbox.bytes(), 20);
        for topic in [7, 8, 9] {
            assert!(outbox.is_lagging(topic));
            assert_eq!(outbox.push(&frame(2), topic, LIMIT), Push::Dropped);
        }
        assert_eq!(outbox.push(&frame(10), 10, LIMIT), Push::Queued);
        while let Some(topic) = outbox.first_lagging() {
            outbox.lag_told(topic);
            outbox.push(&frame(3), REPLY, LIMIT);
        }
        assert_eq!(outbox.push(&frame(2), 8, LIMIT), Push::Queued);
        assert_eq!(outbox.bytes(), 20 + 10 + 9 + 2);
    }

    #[test]
    fn a_frame_written_in_part_survives_the_shedding() {
        let mut outbox = websocket();
        let first = frame(40);
        outbox.push(&first, 7, LIMIT);
        outbox.push(&frame(40), 7, LIMIT);
        let mut out = flush(&mut outbox, 10);
        assert_eq!(outbox.push(&frame(60), 7, LIMIT), Push::Lagging);
        out.extend(flush(&mut outbox, 1000));
        assert_eq!(out, first.wire());
    }

    #[test]
    fn replies_beyond_twice_the_bound_are_the_end() {
        let mut outbox = websocket();
        let mut last = Push::Queued;
        for _ in 0..6 {
            last = outbox.push(&frame(40), REPLY, LIMIT);
        }
        assert_eq!(last, Push::Full);
        assert!(outbox.bytes() <= 2 * LIMIT);
    }

    #[test]
    fn one_frame_may_be_larger_than_the_bound() {
        let mut outbox = websocket();
        assert_eq!(outbox.push(&frame(300), 1, LIMIT), Push::Dirty);
        assert_eq!(flush(&mut outbox, 1000).len(), 302);
    }

    #[test]
    fn a_polling_payload_has_a_bound_and_keeps_the_order() {
        let mut outbox = Outbox::new(Transport::Polling);
        outbox.push(&Frame::engine_text("4a"), REPLY, LIMIT);
        outbox.push(&Frame::engine_binary(&[1, 2, 3, 4]), REPLY, LIMIT);
        outbox.push(&Frame::engine_text("4b"), REPLY, LIMIT);
        assert_eq!(outbox.take_payload(13), "4a\u{1e}bAQIDBA==");
        assert_eq!(outbox.take_payload(1), "4b");
        assert_eq!(outbox.take_payload(1), "");
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_closed_outbox_takes_nothing() {
        let mut outbox = websocket();
        outbox.push(&frame(10), 1, LIMIT);
        outbox.close();
        assert_eq!(outbox.push(&frame(10), 1, LIMIT), Push::Dropped);
        assert_eq!(outbox.take_rest().queue.len(), 1);
    }
}
