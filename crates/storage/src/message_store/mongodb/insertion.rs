//! Messages that have places, on their way into the log. Each ends stored, as a duplicate of an earlier one, or failed;
//! what is none of these yet is unknown, and is inserted again, the same document at the same place, until it is
//! decided.
//!
//! How a sender's order is kept when a place turns out to be taken: messages of a room in which one sender has several
//! are inserted in order, by a request that ends at the first that can't be inserted. What stands behind it hasn't been
//! tried, so all that is left moves up: each takes the place of the next, and the last a new one.
//!
//! Why that is safe although an earlier request may still be under way, because its answer was lost: it too ends at its
//! first message that can't be inserted. That a place is another's, or that a `clientId` is an earlier message's, is
//! believed only when a majority has it, and then it is so for ever. So a request that holds such a message can't insert
//! what stands behind it, neither now nor later; and what stands before it is where it was. A message is moved only when
//! its old place is another's for ever, or stands behind such a one: it can't come to lie at two places.
//!
//! Messages that are their sender's only one in the round are inserted without order, all rooms in one request. Each is
//! decided by its own place, and moves only when that is another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use mongodb::Collection;
use mongodb::bson::{RawDocumentBuf, serialize_to_raw_document_buf};
use mongodb::error::{Error, ErrorKind};
use protocol::{RoomId, Sender};

use super::MongoStore;
use super::documents::{EntryDocument, stored_seq};
use super::failure::{DUPLICATE_KEY, Outcome, is_passing, is_passing_code};
use super::lanes::Job;
use super::places::is_named;
use super::sequencer::Name;
use super::values::time;
use super::visible_head::RoomHead;
use crate::StoreError;

/// How long it is tried to decide what became of a message. An election takes less.
const DECIDING: Duration = Duration::from_secs(15);

/// How long one request may take: the server itself gives up waiting for a majority after five seconds.
const REQUEST: Duration = Duration::from_secs(6);

/// The pause before what is unknown is tried again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Rooms whose troubles are looked into at once.
const AT_ONCE: usize = 16;

/// A message on its way.
pub(super) struct Sending {
    pub job: Job,
    /// Others of the same name in this round: they end as duplicates of this one.
    pub followers: Vec<Job>,
    pub name: Option<Name>,
    pub sender: Sender,
    /// What is inserted, with its place.
    pub entry: EntryDocument,
    pub ending: Option<Ending>,
    /// What the last request did to it.
    attempt: Attempt,
}

/// What became of a message.
pub(super) enum Ending {
    /// It is durable, at the place of its entry.
    Stored,
    /// Its name is that of this earlier message.
    Duplicate(Box<EntryDocument>),
    /// It isn't known to be durable, or can't be.
    Failed(StoreError),
}

/// What one request did to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// Nothing: it stands behind one that couldn't be inserted.
    Untried,
    Stored,
    /// Its place or its name is taken, perhaps by itself.
    Taken,
    Unknown,
    /// Its place is another's.
    Lost,
    /// It can't be stored, for a reason of its own.
    Failed,
}

/// The messages of one room in a round, in the order of their coming and of their places.
pub(super) struct RoomBatch {
    pub room: RoomId,
    pub head: Arc<RoomHead>,
    /// Whether one sender has several.
    pub ordered: bool,
    pub sendings: Vec<Sending>,
}

impl Sending {
    pub(super) fn new(job: Job, name: Option<Name>, sender: Sender, entry: EntryDocument) -> Self {
        Self {
            job,
            followers: Vec::new(),
            name,
            sender,
            entry,
            ending: None,
            attempt: Attempt::Untried,
        }
    }

    fn place(&mut self, seq: u64) {
        self.entry.seq = stored_seq(seq);
        self.entry.key.s = stored_seq(seq);
    }
}

impl RoomBatch {
    pub(super) fn undecided(&mut self) -> impl Iterator<Item = &mut Sending> {
        let sendings = self.sendings.iter_mut();
        sendings.filter(|sending| sending.ending.is_none())
    }

    pub(super) fn is_decided(&mut self) -> bool {
        self.undecided().next().is_none()
    }

    /// Gives the undecided, in their order, these places, which ascend; returns what is left over.
    pub(super) fn place(&mut self, places: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut places = places.into_iter();
        for sending in self.undecided() {
            match places.next() {
                Some(seq) => sending.place(seq),
                None => break,
            }
        }
        places.collect()
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        for sending in self.undecided() {
            sending.ending = Some(Ending::Failed(error.clone()));
        }
    }

    /// Takes over what the last request made certain.
    fn take_certain(&mut self) {
        for sending in self.undecided() {
            match sending.attempt {
                Attempt::Stored => sending.ending = Some(Ending::Stored),
                Attempt::Failed => {
                    let error = StoreError::internal("the message can't be stored");
                    sending.ending = Some(Ending::Failed(error));
                }
                Attempt::Untried | Attempt::Taken | Attempt::Lost | Attempt::Unknown => {}
            }
        }
    }
}

/// One insert, and whose documents it holds: each by the number of its batch and its own in that.
struct Request {
    ordered: bool,
    documents: Vec<RawDocumentBuf>,
    whose: Vec<(usize, usize)>,
}

impl Request {
    fn new(ordered: bool) -> Self {
        Self {
            ordered,
            documents: Vec::new(),
            whose: Vec::new(),
        }
    }

    /// Runs it to its end, in a task of its own: a caller that stops waiting doesn't cut it short. Says what it did to
    /// each document.
    async fn run(self, log: Collection<RawDocumentBuf>) -> Vec<((usize, usize), Attempt)> {
        let Self {
            ordered,
            documents,
            whose,
        } = self;
        let insert = async move { log.insert_many(documents).ordered(ordered).await.map(drop) };
        let result = match tokio::time::timeout(REQUEST, tokio::spawn(insert)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => {
                let unknown = |whose| (whose, Attempt::Unknown);
                return whose.into_iter().map(unknown).collect();
            }
        };
        if let Err(error) = &result {
            tracing::debug!(?error, "an insert into the log failed");
        }
        let attempt = |(index, whose)| (whose, attempt(&result, ordered, index));
        whose.into_iter().enumerate().map(attempt).collect()
    }
}

/// What an insert did to the document of this number.
fn attempt(result: &Result<(), Error>, ordered: bool, index: usize) -> Attempt {
    let error = match result {
        Ok(()) => return Attempt::Stored,
        Err(error) => error,
    };
    let ErrorKind::InsertMany(many) = &*error.kind else {
        return if is_passing(error) {
            Attempt::Unknown
        } else {
            Attempt::Failed
        };
    };
    let mut errors = many.write_errors.iter().flatten();
    if ordered && errors.clone().any(|write| write.index < index) {
        return Attempt::Untried;
    }
    match errors.find(|write| write.index == index) {
        Some(write) if write.code == DUPLICATE_KEY => Attempt::Taken,
        Some(write) if is_passing_code(write.code) => Attempt::Unknown,
        Some(_) => Attempt::Failed,
        // Written by one, and not known to be by a majority.
        None if many.write_concern_error.is_some() => Attempt::Unknown,
        None => Attempt::Stored,
    }
}

impl MongoStore {
    /// Inserts messages that have places, until each is decided. A room's are answered as soon as all of them are.
    pub(super) async fn insert(&self, mut batches: Vec<RoomBatch>) {
        let began = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            if let Err(failure) = self.attempt(&mut batches).await {
                tracing::debug!(?failure, "messages can't be inserted");
            }
            let settling = batches.into_iter().map(|batch| self.settle(batch));
            let settled: Vec<(RoomBatch, bool)> = futures_util::stream::iter(settling)
                .buffered(AT_ONCE)
                .collect()
                .await;
            let late = began.elapsed() > DECIDING;
            let mut moved_any = false;
            batches = Vec::new();
            for (mut batch, moved) in settled {
                moved_any |= moved;
                if late {
                    batch.fail(&StoreError::unavailable("not known to be durable"));
                }
                if batch.is_decided() {
                    self.answer(batch).await;
                } else {
                    batches.push(batch);
                }
            }
            if batches.is_empty() {
                return;
            }
            if !moved_any {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }

    /// Tries to insert what is undecided: in one request all messages that need no order, and in one for each room
    /// those that do.
    async fn attempt(&self, batches: &mut [RoomBatch]) -> Outcome<()> {
        let mut unordered = Request::new(false);
        let mut requests = Vec::new();
        for (number, batch) in batches.iter_mut().enumerate() {
            let mut ordered = batch.ordered.then(|| Request::new(true));
            for (index, sending) in batch.sendings.iter_mut().enumerate() {
                if sending.ending.is_some() {
                    continue;
                }
                sending.attempt = Attempt::Unknown;
                let request = ordered.as_mut().unwrap_or(&mut unordered);
                let document = serialize_to_raw_document_buf(&sending.entry);
                request.documents.push(document.map_err(Error::from)?);
                request.whose.push((number, index));
            }
            requests.extend(ordered);
        }
        requests.push(unordered);
        let log = self.collections().await?.room_log.clone_with_type();
        let running = requests
            .into_iter()
            .filter(|request| !request.documents.is_empty())
            .map(|request| request.run(log.clone()));
        let mut unknown = 0;
        for ((number, index), attempt) in join_all(running).await.into_iter().flatten() {
            let batch = batches.get_mut(number);
            if let Some(sending) = batch.and_then(|batch| batch.sendings.get_mut(index)) {
                unknown += usize::from(attempt == Attempt::Unknown);
                sending.attempt = attempt;
            }
        }
        self.shared.logs.counts.unknown.add(unknown);
        Ok(())
    }

    /// Decides what can be decided about a room's messages, and moves those whose places are taken. Says whether the
    /// next try has better prospects than waiting.
    async fn settle(&self, mut batch: RoomBatch) -> (RoomBatch, bool) {
        batch.take_certain();
        if batch
            .undecided()
            .all(|sending| sending.attempt != Attempt::Taken)
        {
            return (batch, false);
        }
        let settled = self.settle_taken(&mut batch).await;
        if let Err(failure) = &settled {
            tracing::debug!(?failure, room = %batch.room, "what is taken can't be read");
        }
        (batch, settled.unwrap_or(false))
    }

    async fn settle_taken(&self, batch: &mut RoomBatch) -> Outcome<bool> {
        let ordered = batch.ordered;
        // Of those in order also what is behind: each that is found out now costs no request of its own.
        let asked = |sending: &Sending| ordered || sending.attempt == Attempt::Taken;
        let mut seqs = Vec::new();
        let mut names = Vec::new();
        for sending in batch.undecided().filter(|sending| asked(sending)) {
            seqs.push(sending.entry.seq());
            names.extend(sending.name.clone());
        }
        let standing = self.entries_at(&batch.room, seqs).await?;
        let standing: HashMap<u64, &EntryDocument> =
            standing.iter().map(|entry| (entry.seq(), entry)).collect();
        let named = match names.is_empty() {
            true => Vec::new(),
            false => self.entries_by_name(&batch.room, &names).await?,
        };
        let mut places = Places::default();
        for sending in batch.undecided().filter(|sending| asked(sending)) {
            let here = standing.get(&sending.entry.seq()).copied();
            places.judge(sending, here, &named);
        }
        let missing = places.lost;
        self.shared.logs.counts.collided.add(missing);
        let new = match missing {
            0 => Vec::new(),
            _ => {
                self.reserve_beyond(&batch.room, &batch.head, missing)
                    .await?
            }
        };
        let left_over = if ordered {
            places.free.extend(places.kept);
            places.free.sort_unstable();
            batch.place(places.free.into_iter().chain(new))
        } else {
            let at = time(batch.head.time());
            let lost = batch
                .undecided()
                .filter(|sending| sending.attempt == Attempt::Lost);
            for (sending, seq) in lost.zip(new) {
                sending.place(seq);
                sending.entry.at = at;
            }
            places.free
        };
        self.give_back(&batch.room, &batch.head, &left_over).await;
        Ok(missing > 0 || places.decided)
    }

    /// Fills places that aren't needed after all, so that nobody waits for them.
    pub(super) async fn give_back(&self, room: &RoomId, head: &RoomHead, seqs: &[u64]) {
        if seqs.is_empty() {
            return;
        }
        match self.seal(room, seqs).await {
            Ok(()) => {
                self.shared.logs.counts.returned.add(seqs.len());
                self.written(room, head, seqs);
            }
            Err(failure) => {
                tracing::debug!(?failure, %room, "places that aren't needed are left to be sealed");
                self.shared.logs.holes.watch(room);
            }
        }
    }
}

/// What is known of the places of a room's undecided messages.
#[derive(Default)]
struct Places {
    /// Of messages that stay undecided, where they are.
    kept: Vec<u64>,
    /// Of messages that don't need theirs.
    free: Vec<u64>,
    /// How many messages have lost theirs.
    lost: usize,
    /// Whether any message was decided.
    decided: bool,
}

impl Places {
    /// Decides about a message by what stands `here`, at its place, and by those with names among which its own may be.
    fn judge(
        &mut self,
        sending: &mut Sending,
        here: Option<&EntryDocument>,
        named: &[EntryDocument],
    ) {
        let seq = sending.entry.seq();
        let name = sending.name.as_ref();
        let earlier = name.and_then(|name| named.iter().find(|entry| is_named(entry, name)));
        let ending = match (here, earlier) {
            (Some(here), _) if here.id == sending.entry.id => Some(Ending::Stored),
            (here, Some(earlier)) => {
                if here.is_none() {
                    self.free.push(seq);
                }
                Some(Ending::Duplicate(Box::new(earlier.clone())))
            }
            (Some(_), None) => {
                self.lost += 1;
                sending.attempt = Attempt::Lost;
                None
            }
            // Taken by what a majority hasn't got yet, which may be this message itself; or not tried.
            (None, None) => {
                self.kept.push(seq);
                None
            }
        };
        self.decided |= ending.is_some();
        sending.ending = ending;
    }
}
