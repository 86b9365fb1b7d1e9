//! Lanes between the store's writer and the subscribers.
//!
//! The writer's thread says what is durable, in order; encoding it and queueing it for thousands of connections would
//! hold up the next commit. So it only hands over. A room always takes the same lane, which keeps its order. A full
//! lane holds the writer up: that bounds what is durable and not yet published.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use protocol::RoomId;
use tokio::sync::mpsc;

/// Entries that wait in a lane.
const LANE: usize = 4_096;

/// Entries that a lane works through before other tasks get their turn.
const SLICE: usize = 32;

type Work = Box<dyn FnOnce() + Send>;

/// The lanes of a server.
pub struct FanOut {
    lanes: Vec<mpsc::Sender<Work>>,
}

impl FanOut {
    /// Starts `lanes` lanes on the current runtime; each ends with the last handle to this.
    pub fn start(lanes: usize) -> Self {
        let lanes = (0..lanes.max(1)).map(|_| {
            let (sender, receiver) = mpsc::channel(LANE);
            tokio::spawn(run(receiver));
            sender
        });
        Self {
            lanes: lanes.collect(),
        }
    }

    /// Runs `work` behind everything handed over for `room` before. Called on the writer's thread; blocks while the
    /// lane is full.
    pub fn hand_over(&self, room: &RoomId, work: impl FnOnce() + Send + 'static) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(room.as_str());
        let lane = &self.lanes[hash as usize % self.lanes.len()];
        let work: Work = Box::new(work);
        let sent = match lane.try_send(work) {
            Err(mpsc::error::TrySendError::Full(work)) => {
                // Outside of a runtime's thread blocking is allowed; there it would stop other tasks, so the work is
                // done at once by whoever has it. Only a refusal by a full or closed store completes there.
                if tokio::runtime::Handle::try_current().is_ok() {
                    work();
                    return;
                }
                lane.blocking_send(work).map_err(|e| e.0)
            }
            Err(mpsc::error::TrySendError::Closed(work)) => Err(work),
            Ok(()) => Ok(()),
        };
        if let Err(work) = sent {
            // The runtime is going down; whoever still waits gets the answer.
            work();
        }
    }
}

async fn run(mut lane: mpsc::Receiver<Work>) {
    let mut slice = Vec::with_capacity(SLICE);
    while lane.recv_many(&mut slice, SLICE).await > 0 {
        for work in slice.drain(..) {
            work();
        }
        tokio::task::yield_now().await;
    }
}
