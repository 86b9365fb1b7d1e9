//! Lanes between the store's writer and the subscribers.
//!
//! The writer's thread says what is durable, in order; encoding it and queueing it for thousands of connections would
//! hold up the next commit. So it only hands over. A room always takes the same lane, which keeps its order. The place in
//! the lane is taken before the write: so handing over never waits, what is durable and not yet published is bounded, and
//! a room that is slow to publish to holds up only those that share its lane.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::RoomId;
use tokio::sync::mpsc;

/// Entries that are being written or wait in a lane, and their bytes: as many as wait for the disk.
const LANE: usize = 8_192;
const LANE_BYTES: usize = 32 << 20;

/// Entries that a lane works through before other tasks get their turn.
const SLICE: usize = 32;

type Work = Box<dyn FnOnce() + Send>;

/// The lanes of a server.
pub struct FanOut {
    lanes: Vec<Arc<Lane>>,
}

struct Lane {
    sender: mpsc::UnboundedSender<(Work, Place)>,
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place in a lane; given back when the work is done, or this is dropped.
pub struct Place {
    lane: Arc<Lane>,
    bytes: usize,
}

impl FanOut {
    /// Starts `lanes` lanes on the current runtime; each ends with the last handle to this.
    pub fn start(lanes: usize) -> Self {
        let lanes = (0..lanes.max(1)).map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(receiver));
            Arc::new(Lane {
                sender,
                entries: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
            })
        });
        Self {
            lanes: lanes.collect(),
        }
    }

    /// A place for something of these bytes in the room's lane; `None` if it is full.
    pub fn reserve(&self, room: &RoomId, bytes: usize) -> Option<Place> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(room.as_str());
        let lane = &self.lanes[hash as usize % self.lanes.len()];
        let entries = lane.entries.fetch_add(1, Ordering::Relaxed) + 1;
        let all_bytes = lane.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let place = Place {
            lane: lane.clone(),
            bytes,
        };
        (entries <= LANE && all_bytes <= LANE_BYTES).then_some(place)
    }
}

impl Place {
    /// Runs `work` behind everything handed over for the room before. Never waits.
    pub fn hand_over(self, work: impl FnOnce() + Send + 'static) {
        let lane = self.lane.clone();
        if let Err(mpsc::error::SendError((work, _))) = lane.sender.send((Box::new(work), self)) {
            // The runtime is going down; whoever still waits gets the answer.
            work();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.entries.fetch_sub(1, Ordering::Relaxed);
        self.lane.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

async fn run(mut lane: mpsc::UnboundedReceiver<(Work, Place)>) {
    let mut slice = Vec::with_capacity(SLICE);
    while lane.recv_many(&mut slice, SLICE).await > 0 {
        for (work, place) in slice.drain(..) {
            work();
            drop(place);
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_is_bounded_keeps_its_order_and_never_waits() {
        let fan_out = FanOut::start(1);
        let room = RoomId::trusted("r");
        let (sender, mut done) = mpsc::unbounded_channel();
        // The lane's task doesn't run meanwhile: this is the runtime's only thread.
        let places: Vec<_> = (0..LANE)
            .map(|_| fan_out.reserve(&room, 1).unwrap())
            .collect();
        assert!(fan_out.reserve(&room, 1).is_none());
        for (number, place) in places.into_iter().enumerate() {
            let sender = sender.clone();
            place.hand_over(move || sender.send(number).unwrap());
        }
        assert!(fan_out.reserve(&room, 1).is_none(), "not done yet");
        for number in 0..LANE {
            assert_eq!(done.recv().await, Some(number));
        }
        while fan_out.reserve(&room, LANE_BYTES).is_none() {
            tokio::task::yield_now().await;
        }
        let large = fan_out.reserve(&room, LANE_BYTES).unwrap();
        assert!(fan_out.reserve(&room, 1).is_none(), "bounded in bytes too");
        drop(large);
        assert!(fan_out.reserve(&room, 1).is_some());
    }
}
