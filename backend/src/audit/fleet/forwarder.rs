//! From the queue to the spool, and from the spool to the streams, until what was sent is known to be stored.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    spool::{self, Place, Spool},
    streams::{Added, Entry, Fate, STREAMS, Streams},
};
use crate::{
    audit::{codec::Batch, counts::Counts, queue::Queue},
    log_throttle::LogThrottle,
};

/// Batches that were sent and aren't known to be stored: somewhat more than all streams hold.
const WINDOW: usize = 8_192;

/// Bytes and batches that are sent at once.
const SEND_BYTES: usize = 2 * 1024 * 1024;
const SEND_BATCHES: usize = 512;

/// The time between two looks at what has become of what was sent.
const CHECK: Duration = Duration::from_millis(200);

/// Batches of each stream, the oldest, that are looked at: one whose master doesn't answer keeps no other back.
const CHECKED: usize = 64;

/// The pause after something failed or a stream was full.
const PAUSE: Duration = Duration::from_millis(200);

/// How often spools of processes that have ended are looked for.
const ADOPT: Duration = Duration::from_secs(30);

/// Sends what is recorded here.
pub struct Forwarder {
    queue: Arc<Queue>,
    spool: Arc<Mutex<Spool>>,
    streams: Arc<Streams>,
    counts: Arc<Counts>,
    /// Something was written to the spool.
    spooled: Notify,
    /// Something was added to a stream.
    added: Arc<Notify>,
}

/// A batch that isn't known to be stored.
struct Outstanding {
    id: Uuid,
    place: Place,
    entries: u64,
    /// Where it was sent to; `None` if it has to be sent.
    sent: Option<Entry>,
}

impl Forwarder {
    /// From a queue, by way of a spool, to streams. `added` is notified of what was added to one.
    pub fn new(
        queue: Arc<Queue>,
        spool: Spool,
        streams: Arc<Streams>,
        counts: Arc<Counts>,
        added: Arc<Notify>,
    ) -> Self {
        counts.set_spooled(spool.bytes());
        Self {
            queue,
            spool: Arc::new(Mutex::new(spool)),
            streams,
            counts,
            spooled: Notify::new(),
            added,
        }
    }

    /// Writes to the spool what is recorded.
    pub async fn run_writer(&self) {
        // Those that a run before this had taken when it failed.
        self.counts.drop_entries(self.queue.abandon() as u64);
        loop {
            // First what was there before this began.
            self.write().await;
            self.queue.pushed().await;
        }
    }

    /// Writes what waits; tries again until the disk takes it.
    pub async fn write(&self) {
        static FAILED: LogThrottle = LogThrottle::new();
        let entries = self.queue.take();
        let count = entries.len();
        let mut batches = Arc::new(Vec::new());
        let mut made = Some(entries);
        loop {
            let entries = made.take();
            let before = batches.clone();
            let written = self
                .on_disk(move |spool| {
                    let batches = match entries {
                        Some(entries) => Arc::new(Batch::of(&entries)),
                        None => before,
                    };
                    let written = spool.append(&batches);
                    (batches, written)
                })
                .await;
            match written {
                Some((all, Ok(written))) => {
                    self.note_overflow(&all[written..]);
                    break;
                }
                Some((all, Err(error))) => {
                    batches = all;
                    if let Some(suppressed) = FAILED.record() {
                        tracing::error!(%error, suppressed, "the audit log's spool can't be written");
                    }
                    sleep(Duration::from_secs(1)).await;
                }
                // It panicked, which says that all of them are lost.
                None => {
                    self.counts.drop_entries(count as u64);
                    break;
                }
            }
        }
        self.queue.written();
        self.spooled.notify_one();
    }

    fn note_overflow(&self, left: &[Batch]) {
        static FULL: LogThrottle = LogThrottle::new();
        let lost: usize = left.iter().map(|batch| batch.entries).sum();
        if lost == 0 {
            return;
        }
        self.counts.drop_entries(lost as u64);
        if let Some(suppressed) = FULL.record() {
            tracing::error!(
                lost,
                suppressed,
                "the audit log's spool is full; entries are lost"
            );
        }
    }

    /// Sends what is spooled.
    pub async fn run_sender(&self) {
        let mut window = VecDeque::new();
        // One that ended before this knew what it had read.
        self.on_disk(Spool::rewind).await;
        let (mut checked, mut adopted) = (Instant::now(), Instant::now());
        loop {
            let sent = self.send(&mut window).await;
            if checked.elapsed() >= CHECK {
                self.check(&mut window).await;
                checked = Instant::now();
            }
            if adopted.elapsed() >= ADOPT {
                self.adopt().await;
                adopted = Instant::now();
            }
            let age = window.front().map_or(Duration::ZERO, age);
            self.counts.set_oldest(age);
            match sent {
                Sent::Some => {}
                Sent::Failed => sleep(PAUSE).await,
                Sent::Nothing => {
                    // Every so often what was sent is looked at, in any case.
                    let waiting = if window.is_empty() {
                        Duration::from_secs(1)
                    } else {
                        CHECK
                    };
                    drop(timeout(waiting, self.spooled.notified()).await);
                }
            }
        }
    }

    async fn send(&self, window: &mut VecDeque<Outstanding>) -> Sent {
        let mut batches = match self.next(window).await {
            Ok(batches) => batches,
            Err(error) => {
                report(&error);
                return Sent::Failed;
            }
        };
        if batches.is_empty() {
            return Sent::Nothing;
        }
        let lines: Vec<_> = batches
            .iter()
            .map(|(index, lines)| (window[*index].id, lines.as_slice()))
            .collect();
        let added = self.streams.add(&lines).await;
        let mut sent = Sent::Some;
        for ((index, _), added) in batches.drain(..).zip(added) {
            match added {
                Added::At(entry) => window[index].sent = Some(entry),
                Added::Full => sent = Sent::Failed,
                Added::Failed(error) => {
                    tracing::debug!(%error, "a batch of the audit log couldn't be sent");
                    sent = Sent::Failed;
                }
            }
        }
        self.added.notify_one();
        sent
    }

    /// Batches to be sent, by their place in the window: those that have to be sent again come before new ones.
    async fn next(&self, window: &mut VecDeque<Outstanding>) -> io::Result<Vec<(usize, Vec<u8>)>> {
        let unsent = window.iter().enumerate();
        let unsent = unsent.filter(|(_, batch)| batch.sent.is_none());
        // As many as have the bytes of one sending, whatever their size.
        let again: Vec<_> = unsent.take(SEND_BYTES / (64 * 1024)).collect();
        let again: Vec<_> = again.iter().map(|(at, batch)| (*at, batch.place)).collect();
        if !again.is_empty() {
            let read = self.on_disk(move |spool| {
                let read = again.iter();
                let read = read.map(|(at, place)| (*at, spool.read_again(*place)));
                read.collect::<Vec<_>>()
            });
            let read = read.await.unwrap_or_default();
            let found = self.without_lost(window, read).await;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let room = SEND_BATCHES.min(WINDOW.saturating_sub(window.len()));
        let read = self.on_disk(move |spool| spool.read(SEND_BYTES, room));
        let read = read.await.unwrap_or_else(|| Ok(Vec::new()))?;
        let batches = read.into_iter().map(|batch| {
            window.push_back(Outstanding {
                id: batch.id,
                place: batch.place,
                entries: batch.lines.iter().filter(|byte| **byte == b'\n').count() as u64,
                sent: None,
            });
            (window.len() - 1, batch.lines)
        });
        Ok(batches.collect())
    }

    /// What could be read again, by its place in the window. What the disk has lost leaves the window, and is counted.
    async fn without_lost(
        &self,
        window: &mut VecDeque<Outstanding>,
        read: Vec<(usize, io::Result<Vec<u8>>)>,
    ) -> Vec<(usize, Vec<u8>)> {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for (at, read) in read {
            match read {
                // Those that are lost come before it in the window no longer.
                Ok(lines) => found.push((at - lost.len(), lines)),
                Err(error) => {
                    report(&error);
                    if spool::is_lost(&error)
                        && let Some(batch) = window.remove(at - lost.len())
                    {
                        self.counts.drop_entries(batch.entries);
                        lost.push(batch.place);
                    }
                }
            }
        }
        if !lost.is_empty()
            && let Some(Err(error)) = self.on_disk(move |spool| spool.stored(&lost)).await
        {
            report(&error);
        }
        found
    }

    /// Finds out what has become of what was sent.
    async fn check(&self, window: &mut VecDeque<Outstanding>) {
        let (asked, sent): (Vec<_>, Vec<_>) = oldest(window).into_iter().unzip();
        let fates = if sent.is_empty() {
            Vec::new()
        } else {
            self.streams.fates(&sent).await
        };
        let mut fates = asked.into_iter().zip(fates).peekable();
        let mut stored = Vec::new();
        let mut at = 0;
        window.retain_mut(|batch| {
            let fate = fates.next_if(|(asked, _)| *asked == at);
            at += 1;
            match fate.and_then(|(_, fate)| fate) {
                Some(Fate::Stored) => {
                    stored.push(batch.place);
                    false
                }
                Some(Fate::Lost) => {
                    self.counts.resend(1);
                    batch.sent = None;
                    true
                }
                Some(Fate::Waiting) | None => true,
            }
        });
        let removed = self.on_disk(move |spool| {
            let synced = spool.sync();
            spool.stored(&stored).and(synced)
        });
        if let Some(Err(error)) = removed.await {
            report(&error);
        }
    }

    async fn adopt(&self) {
        match self.on_disk(Spool::adopt).await {
            Some(Ok(0)) | None => {}
            Some(Ok(processes)) => {
                tracing::info!(
                    processes,
                    "what ended processes left of the audit log is sent"
                );
            }
            Some(Err(error)) => report(&error),
        }
    }

    /// Works on the spool without keeping the runtime from other work; `None` if that panics.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let (spool, counts) = (self.spool.clone(), self.counts.clone());
        let working = tokio::task::spawn_blocking(move || {
            let mut spool = spool.lock();
            let done = work(&mut spool);
            counts.set_spooled(spool.bytes());
            counts.set_torn(spool.torn());
            done
        });
        working
            .await
            .inspect_err(|error| tracing::error!(%error, "the audit log's spool failed"))
            .ok()
    }

    /// Whether everything that was recorded is stored.
    pub fn is_done(&self) -> bool {
        self.queue.is_done() && self.spool.lock().bytes() == 0
    }
}

enum Sent {
    Some,
    Nothing,
    /// Something has to be sent again later.
    Failed,
}

fn report(error: &io::Error) {
    static FAILED: LogThrottle = LogThrottle::new();
    if let Some(suppressed) = FAILED.record() {
        tracing::error!(%error, suppressed, "the audit log's spool can't be read");
    }
}

/// Of each stream the oldest batches that were sent, by their places in the window.
fn oldest(window: &VecDeque<Outstanding>) -> Vec<(usize, &Entry)> {
    let mut of_stream = [0; STREAMS as usize];
    let sent = window.iter().enumerate();
    let sent = sent.filter_map(|(at, batch)| Some((at, batch.sent.as_ref()?)));
    let oldest = sent.filter(|(_, entry)| {
        let count = &mut of_stream[usize::from(entry.stream())];
        *count += 1;
        *count <= CHECKED
    });
    oldest.collect()
}

/// How long ago a batch was made.
fn age(batch: &Outstanding) -> Duration {
    let made = batch.id.get_timestamp().map_or(0, |time| time.to_unix().0);
    let now = protocol::Timestamp::now().unix_ms() / 1_000;
    Duration::from_secs((now as u64).saturating_sub(made))
}

#[cfg(test)]
mod tests {
    use redis_client::{Options, RedisClient};

    use super::*;
    use crate::audit::record::Record;

    fn forwarder(spools: &std::path::Path) -> Forwarder {
        // Nobody listens there.
        let redis = RedisClient::new(
            "redis://127.0.0.1:1".parse().unwrap(),
            Options::new("audit"),
        );
        Forwarder::new(
            Arc::default(),
            Spool::open(spools, 1 << 20).unwrap(),
            Arc::new(Streams::new(redis, "test", "c".to_owned())),
            Arc::default(),
            Arc::default(),
        )
    }

    #[tokio::test]
    async fn what_the_disk_has_lost_keeps_nothing_back_and_is_counted() {
        let spools = tempfile::tempdir().unwrap();
        let forwarder = forwarder(spools.path());
        let record = async |action| {
            let record = Record::new(action, protocol::AuditOutcome::Succeeded);
            assert!(forwarder.queue.push(record.into_entry("i")));
            forwarder.write().await;
        };
        record("room.create").await;
        let mut window = VecDeque::new();
        assert_eq!(forwarder.next(&mut window).await.unwrap().len(), 1);
        let directories = std::fs::read_dir(spools.path()).unwrap();
        let directories = directories.map(|entry| entry.unwrap().path());
        for directory in directories.filter(|path| path.is_dir()) {
            for segment in std::fs::read_dir(directory).unwrap() {
                std::fs::remove_file(segment.unwrap().path()).unwrap();
            }
        }
        assert!(forwarder.next(&mut window).await.unwrap().is_empty());
        assert_eq!((window.len(), forwarder.counts.dropped()), (0, 1));
        record("room.join").await;
        let next = forwarder.next(&mut window).await.unwrap();
        assert_eq!((next.len(), window.len()), (1, 1));
        assert!(String::from_utf8_lossy(&next[0].1).contains("room.join"));
    }

    #[test]
    fn a_stream_that_does_not_answer_keeps_no_other_back() {
        let spools = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(spools.path(), 1 << 20).unwrap();
        let batch = crate::audit::codec::Batch {
            id: Uuid::now_v7(),
            entries: 1,
            lines: b"{}\n".to_vec(),
        };
        spool.append(&[batch]).unwrap();
        let place = spool.read(1, 1).unwrap()[0].place;
        let sent = |stream| Outstanding {
            id: Uuid::nil(),
            place,
            entries: 1,
            sent: Some(Entry::in_stream(stream)),
        };
        let mut window: VecDeque<_> = (0..2 * CHECKED).map(|_| sent(3)).collect();
        window.push_back(Outstanding {
            sent: None,
            ..sent(3)
        });
        window.push_back(sent(4));
        let asked: Vec<_> = oldest(&window).into_iter().map(|(at, _)| at).collect();
        let expected: Vec<_> = (0..CHECKED).chain([2 * CHECKED + 1]).collect();
        assert_eq!(asked, expected);
    }
}
