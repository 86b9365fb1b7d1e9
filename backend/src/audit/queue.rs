//! Entries that were recorded and aren't written yet. Recording is a push into this: it never waits.

use parking_lot::Mutex;
use storage::AuditEntry;
use tokio::sync::Notify;

/// Bytes that may wait. What is recorded beyond that is dropped and counted: a server that is full goes on serving.
pub const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an entry takes beside its texts, about.
const ENTRY_OVERHEAD: usize = 320;

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<AuditEntry>,
    bytes: usize,
    /// The number and the bytes of those that were taken and aren't written yet, if any were.
    taken: Option<(usize, usize)>,
    /// Nobody writes any longer.
    closed: bool,
}

impl Queue {
    /// Adds an entry; false if it was dropped.
    pub fn push(&self, entry: AuditEntry) -> bool {
        let bytes = bytes_of(&entry);
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed || waiting.held() + bytes > QUEUE_BYTES_MAX {
                return false;
            }
            waiting.bytes += bytes;
            waiting.entries.push(entry);
        }
        self.pushed.notify_one();
        true
    }

    /// Takes everything that waits, in the order recorded.
    pub fn take(&self) -> Vec<AuditEntry> {
        let mut waiting = self.waiting.lock();
        waiting.taken = Some((waiting.entries.len(), waiting.bytes));
        waiting.bytes = 0;
        std::mem::take(&mut waiting.entries)
    }

    /// What was taken is written.
    pub fn written(&self) {
        self.waiting.lock().taken = None;
    }

    /// What was taken won't be written; returns how many those are.
    pub fn abandon(&self) -> usize {
        let taken = self.waiting.lock().taken.take();
        taken.map_or(0, |(entries, _)| entries)
    }

    /// Takes nothing any more; returns how many entries aren't written.
    pub fn close(&self) -> usize {
        let taken = self.abandon();
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        taken + std::mem::take(&mut waiting.entries).len()
    }

    /// Whether all that was pushed is written.
    pub fn is_done(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.entries.is_empty() && waiting.taken.is_none()
    }

    /// Resolves when something was pushed since the last time.
    pub async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// Bytes that aren't written yet.
    pub fn bytes(&self) -> usize {
        self.waiting.lock().held()
    }
}

impl Waiting {
    fn held(&self) -> usize {
        self.bytes + self.taken.map_or(0, |(_, bytes)| bytes)
    }
}

/// What an entry takes in memory.
pub fn bytes_of(entry: &AuditEntry) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    ENTRY_OVERHEAD
        + entry.id.len()
        + entry.action.len()
        + entry.instance.len()
        + text(&entry.address)
        + text(&entry.target_kind)
        + text(&entry.target_id)
        + text(&entry.details)
        + text(&entry.request_id)
}

#[cfg(test)]
mod tests {
    use protocol::AuditOutcome;

    use super::*;
    use crate::audit::record::Record;

    #[test]
    fn beyond_its_bytes_it_takes_nothing_more() {
        let queue = Queue::default();
        let entry = || {
            let record = Record::new("room.create", AuditOutcome::Succeeded);
            record.with("text", "x".repeat(2_000)).into_entry("i")
        };
        let fitting = QUEUE_BYTES_MAX / bytes_of(&entry());
        for _ in 0..fitting {
            assert!(queue.push(entry()));
        }
        assert!(!queue.push(entry()));
        assert!(queue.bytes() <= QUEUE_BYTES_MAX);
        assert_eq!(queue.take().len(), fitting);
        assert!(!queue.push(entry()), "what is being written counts");
        queue.written();
        assert!(queue.is_done() && queue.push(entry()));
        assert_eq!(queue.take().len(), 1);
        assert!(!queue.is_done());
        queue.written();
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_is_left_at_the_end_is_known() {
        let queue = Queue::default();
        let entry = || Record::new("room.create", AuditOutcome::Succeeded).into_entry("i");
        assert!(queue.push(entry()) && queue.push(entry()));
        assert_eq!(queue.take().len(), 2);
        assert!(queue.push(entry()));
        assert_eq!((queue.close(), queue.bytes()), (3, 0));
        assert!(!queue.push(entry()) && queue.is_done());
    }
}
