//! Inserts messages that have `seq`s into the log. The outcome of each is stored, duplicate of an earlier one, or failed;
//! what is none of these yet is unknown, and is inserted again, the same document at the same `seq`, until it is decided.
//!
//! How a sender's order is kept when a `seq` turns out to be taken: messages of a room in which one sender has several
//! are inserted in order, by a request that ends at the first that can't be inserted. What is behind it hasn't been
//! tried, so all that is left moves up: each takes the `seq` of the next, and the last a new one.
//!
//! Why that is safe although an earlier request may still be under way, because its answer was lost: it too ends at its
//! first message that can't be inserted. That a `seq` is another entry's, or that a `clientId` is an earlier message's, is
//! believed only when a majority has it, and then it is so for ever. So a request that holds such a message can't insert
//! what stands behind it, neither now nor later; and what stands before it is where it was. A message is moved only when
//! its old `seq` is another's for ever, or stands behind such a one: it can't be stored at two `seq`s.
//!
//! Messages that are their sender's only one in the round are inserted without order, all rooms in one request. Each is
//! decided by its own `seq`, and moves only when that is another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use mongodb::bson::serialize_to_raw_document_buf;
use mongodb::error::Error;

use super::super::counts::Counts;
use super::super::database::Database;
use super::super::documents::EntryDocument;
use super::super::failure::Outcome;
use super::super::log::{Entries, GapFiller};
use super::super::values::time;
use super::answers::Answers;
use super::batch::{Attempt, InsertOutcome, PendingInsert, RoomBatch};
use super::insert_request::InsertRequest;
use super::sequencer::Sequencer;
use crate::StoreError;

/// How long it is tried to decide the outcome of a message. An election takes less.
const DECIDING: Duration = Duration::from_secs(15);

/// The pause before what is unknown is tried again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Rooms whose collisions are looked into at once.
const AT_ONCE: usize = 16;

/// Inserts the messages of rounds.
pub struct Inserter {
    pub database: Database,
    pub entries: Entries,
    pub sequencer: Arc<Sequencer>,
    pub filler: GapFiller,
    pub answers: Arc<Answers>,
    pub counts: Arc<Counts>,
}

impl Inserter {
    /// Inserts messages that have `seq`s, until each is decided. A room's are answered as soon as all of them are.
    pub async fn insert(&self, mut batches: Vec<RoomBatch>) {
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
                    self.answers.send(batch).await;
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
        let mut unordered = InsertRequest::new(false);
        let mut requests = Vec::new();
        for (number, batch) in batches.iter_mut().enumerate() {
            let mut ordered = batch.ordered.then(|| InsertRequest::new(true));
            for (index, message) in batch.messages.iter_mut().enumerate() {
                if message.outcome.is_some() {
                    continue;
                }
                message.attempt = Attempt::Unknown;
                let request = ordered.as_mut().unwrap_or(&mut unordered);
                let document = serialize_to_raw_document_buf(&message.entry);
                request.push((number, index), document.map_err(Error::from)?);
            }
            requests.extend(ordered);
        }
        requests.push(unordered);
        let log = self
            .database
            .collections()
            .await?
            .room_log
            .clone_with_type();
        let running = requests
            .into_iter()
            .filter(|request| !request.is_empty())
            .map(|request| request.run(log.clone()));
        let mut unknown = 0;
        for ((number, index), attempt) in join_all(running).await.into_iter().flatten() {
            let batch = batches.get_mut(number);
            if let Some(message) = batch.and_then(|batch| batch.messages.get_mut(index)) {
                unknown += usize::from(attempt == Attempt::Unknown);
                message.attempt = attempt;
            }
        }
        self.counts.unknown.add(unknown);
        Ok(())
    }

    /// Decides what can be decided about a room's messages, and gives those whose `seq`s are taken others. True if the
    /// next try has better prospects than waiting.
    async fn settle(&self, mut batch: RoomBatch) -> (RoomBatch, bool) {
        batch.take_certain();
        if batch
            .undecided()
            .all(|message| message.attempt != Attempt::Taken)
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
        // Of ordered messages also those behind: each that is decided now costs no request of its own.
        let asked = |message: &PendingInsert| ordered || message.attempt == Attempt::Taken;
        let mut seqs = Vec::new();
        let mut keys = Vec::new();
        for message in batch.undecided().filter(|message| asked(message)) {
            seqs.push(message.entry.seq());
            keys.extend(message.key.clone());
        }
        let found = self.entries.at(&batch.room, seqs).await?;
        let found: HashMap<u64, &EntryDocument> =
            found.iter().map(|entry| (entry.seq(), entry)).collect();
        let with_keys = self.entries.with_keys(&batch.room, &keys).await?;
        let mut verdicts = Verdicts::default();
        for message in batch.undecided().filter(|message| asked(message)) {
            let here = found.get(&message.entry.seq()).copied();
            verdicts.judge(message, here, &with_keys);
        }
        let missing = verdicts.lost;
        self.counts.collided.add(missing);
        let new = match missing {
            0 => Vec::new(),
            _ => {
                self.sequencer
                    .reserve_beyond(&batch.room, &batch.head, missing)
                    .await?
            }
        };
        let left_over = if ordered {
            verdicts.free.extend(verdicts.kept);
            verdicts.free.sort_unstable();
            batch.assign(verdicts.free.into_iter().chain(new))
        } else {
            let at = time(batch.head.time());
            let lost = batch
                .undecided()
                .filter(|message| message.attempt == Attempt::Lost);
            for (message, seq) in lost.zip(new) {
                message.set_seq(seq);
                message.entry.at = at;
            }
            verdicts.free
        };
        self.filler
            .fill_unused(&batch.room, &batch.head, &left_over)
            .await;
        Ok(missing > 0 || verdicts.decided)
    }
}

/// What was found out about the `seq`s of a room's undecided messages.
#[derive(Default)]
struct Verdicts {
    /// Of messages that stay undecided and keep theirs.
    kept: Vec<u64>,
    /// Of messages that don't need theirs.
    free: Vec<u64>,
    /// How many messages have lost theirs.
    lost: usize,
    /// True if any message was decided.
    decided: bool,
}

impl Verdicts {
    /// Decides about a message by the entry at its `seq`, `here`, and by those `with_keys`, of which one may be its own.
    fn judge(
        &mut self,
        message: &mut PendingInsert,
        here: Option<&EntryDocument>,
        with_keys: &[EntryDocument],
    ) {
        let seq = message.entry.seq();
        let key = message.key.as_ref();
        let earlier = key.and_then(|key| with_keys.iter().find(|entry| key.is_of(entry)));
        let outcome = match (here, earlier) {
            (Some(here), _) if here.id == message.entry.id => Some(InsertOutcome::Stored),
            (here, Some(earlier)) => {
                if here.is_none() {
                    self.free.push(seq);
                }
                Some(InsertOutcome::Duplicate(Box::new(earlier.clone())))
            }
            (Some(_), None) => {
                self.lost += 1;
                message.attempt = Attempt::Lost;
                None
            }
            // Taken by what a majority hasn't got yet, which may be this message itself; or not tried.
            (None, None) => {
                self.kept.push(seq);
                None
            }
        };
        self.decided |= outcome.is_some();
        message.outcome = outcome;
    }
}
