//! One round of messages: what gathered while the last one was on its way, of many rooms and senders.
//!
//! The steps of a round are counted: one call of Redis for each partition, pipelined, and one insert.

use futures_util::StreamExt;
use protocol::RoomId;

use super::super::log::DegradedRooms;
use super::admission::Admission;
use super::assignment::Assignment;
use super::batch::RoomBatch;
use super::inserter::Inserter;
use super::job::Job;

/// Rooms that are admitted at once.
const AT_ONCE: usize = 32;

/// Writes rounds.
pub struct RoundWriter {
    pub admission: Admission,
    pub assignment: Assignment,
    pub inserter: Inserter,
    pub degraded: DegradedRooms,
}

impl RoundWriter {
    /// Writes the messages of a round and completes them.
    pub async fn write(&self, rooms: Vec<(RoomId, Vec<Job>)>) {
        let admitting = rooms
            .into_iter()
            .map(|(room, jobs)| self.admission.admit(room, jobs));
        let batches: Vec<RoomBatch> = futures_util::stream::iter(admitting)
            .buffered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let (batches, degraded) = self.assignment.assign(batches).await;
        // Other instances hear of rooms that are written to without Redis before the writers are answered.
        tokio::join!(
            self.degraded.announce(degraded),
            self.inserter.insert(batches)
        );
    }
}
