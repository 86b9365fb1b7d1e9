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
    spool::{Place, Spool},
    streams::{Added, Entry, Fate, Streams},
};
use crate::{
    audit::{codec::Batch, counts::Counts, queue::Queue},
    logging::LogThrottle,
};

/// Batches that were sent and aren't known to be stored: somewhat more than all streams hold.
const WINDOW: usize = 8_192;

/// Bytes and batches that are sent at once.
const SEND_BYTES: usize = 2 * 1024 * 1024;
const SEND_BATCHES: usize = 512;

/// The time between two looks at what has become of what was sent.
const CHECK: Duration = Duration::from_millis(200);

/// Batches, the oldest, that are looked at.
const CHECKED: usize = 1_024;

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
        loop {
            self.queue.pushed().await;
            self.write().await;
        }
    }

    /// Writes what waits; tries again until the disk takes it.
    pub async fn write(&self) {
        static FAILED: LogThrottle = LogThrottle::new();
        let entries = self.queue.take();
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
                None => break,
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
                let read = again.iter().map(|(at, place)| {
                    let lines = spool.read_again(*place)?;
                    Ok((*at, lines))
                });
                read.collect::<io::Result<Vec<_>>>()
            });
            return read.await.unwrap_or_else(|| Ok(Vec::new()));
        }
        let room = SEND_BATCHES.min(WINDOW.saturating_sub(window.len()));
        let read = self.on_disk(move |spool| spool.read(SEND_BYTES, room));
        let read = read.await.unwrap_or_else(|| Ok(Vec::new()))?;
        let batches = read.into_iter().map(|batch| {
            window.push_back(Outstanding {
                id: batch.id,
                place: batch.place,
                sent: None,
            });
            (window.len() - 1, batch.lines)
        });
        Ok(batches.collect())
    }

    /// Finds out what has become of what was sent.
    async fn check(&self, window: &mut VecDeque<Outstanding>) {
        let sent = window.iter().filter_map(|batch| batch.sent.as_ref());
        let sent: Vec<_> = sent.take(CHECKED).collect();
        let fates = if sent.is_empty() {
            Vec::new()
        } else {
            self.streams.fates(&sent).await
        };
        let mut fates = fates.into_iter();
        let mut stored = Vec::new();
        window.retain_mut(|batch| {
            if batch.sent.is_none() {
                return true;
            }
            match fates.next().flatten() {
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
            spool.sync()?;
            spool.stored(&stored)
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

/// How long ago a batch was made.
fn age(batch: &Outstanding) -> Duration {
    let made = batch.id.get_timestamp().map_or(0, |time| time.to_unix().0);
    let now = protocol::Timestamp::now().unix_ms() / 1_000;
    Duration::from_secs((now as u64).saturating_sub(made))
}
