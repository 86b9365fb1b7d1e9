//! Queues between the store's writer and the subscribers.
//!
//! The writer's thread reports what is durable, in order. Encoding it and queueing it for thousands of connections there
//! would delay the next commit, so the writer only hands over. A room always has the same queue, which keeps its order. The
//! permit for the queue is taken before the write: handing over never waits, what is durable and not yet published is
//! bounded, and a room that is slow to publish to delays only those that share its queue.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::RoomId;
use tokio::sync::mpsc;

/// Entries of a queue, those that are being written included, and their bytes: as many as may wait for the disk.
const QUEUE: usize = 8_192;
const QUEUE_BYTES: usize = 32 << 20;

/// Entries that are published before other tasks get their turn.
const SLICE: usize = 32;

type Work = Box<dyn FnOnce() + Send>;

/// The queues of a server.
pub struct PublishQueues {
    queues: Vec<Arc<Queue>>,
}

struct Queue {
    sender: mpsc::UnboundedSender<(Work, Permit)>,
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

/// The right to add one entry to a queue. It counts until the entry is published, or this is dropped.
pub struct Permit {
    queue: Arc<Queue>,
    bytes: usize,
}

impl PublishQueues {
    /// Starts `count` queues on the current runtime; each ends when this is dropped.
    pub fn start(count: usize) -> Self {
        let queues = (0..count.max(1)).map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(publish(receiver));
            Arc::new(Queue {
                sender,
                entries: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
            })
        });
        Self {
            queues: queues.collect(),
        }
    }

    /// A permit for an entry of these bytes in the room's queue; `None` if it is full.
    pub fn reserve(&self, room: &RoomId, bytes: usize) -> Option<Permit> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(room.as_str());
        let queue = &self.queues[hash as usize % self.queues.len()];
        let entries = queue.entries.fetch_add(1, Ordering::Relaxed) + 1;
        let all_bytes = queue.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let permit = Permit {
            queue: queue.clone(),
            bytes,
        };
        (entries <= QUEUE && all_bytes <= QUEUE_BYTES).then_some(permit)
    }
}

impl Permit {
    /// Runs `work` after everything that was queued for the room before. Never waits.
    pub fn run(self, work: impl FnOnce() + Send + 'static) {
        let queue = self.queue.clone();
        if let Err(mpsc::error::SendError((work, _))) = queue.sender.send((Box::new(work), self)) {
            // The runtime is shutting down; whoever still waits gets an answer.
            work();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.entries.fetch_sub(1, Ordering::Relaxed);
        self.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

async fn publish(mut queue: mpsc::UnboundedReceiver<(Work, Permit)>) {
    let mut slice = Vec::with_capacity(SLICE);
    while queue.recv_many(&mut slice, SLICE).await > 0 {
        for (work, permit) in slice.drain(..) {
            work();
            drop(permit);
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_bounded_keeps_its_order_and_never_waits() {
        let queues = PublishQueues::start(1);
        let room = RoomId::trusted("r");
        let (sender, mut done) = mpsc::unbounded_channel();
        // The queue's task doesn't run meanwhile: this is the runtime's only thread.
        let permits: Vec<_> = (0..QUEUE)
            .map(|_| queues.reserve(&room, 1).unwrap())
            .collect();
        assert!(queues.reserve(&room, 1).is_none());
        for (number, permit) in permits.into_iter().enumerate() {
            let sender = sender.clone();
            permit.run(move || sender.send(number).unwrap());
        }
        assert!(queues.reserve(&room, 1).is_none(), "not done yet");
        for number in 0..QUEUE {
            assert_eq!(done.recv().await, Some(number));
        }
        while queues.reserve(&room, QUEUE_BYTES).is_none() {
            tokio::task::yield_now().await;
        }
        let large = queues.reserve(&room, QUEUE_BYTES).unwrap();
        assert!(queues.reserve(&room, 1).is_none(), "bounded in bytes too");
        drop(large);
        assert!(queues.reserve(&room, 1).is_some());
    }
}
