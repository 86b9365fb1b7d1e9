//! Edits, deletions and reactions: the entry of each goes into the log in the transaction that changes the message's
//! present state. Changes of one room that wait together share a transaction.
//!
//! What is allowed depends on the message, and another instance may be changing the same one. So the rules are applied
//! to what the transaction itself reads (see `change_plan.rs`), and it begins anew when it met another. `seq`s are reserved only
//! for what is to be recorded, and kept for the next try; those that aren't needed in the end are filled in the same
//! transaction.
//!
//! When nobody answers whether a transaction was committed, its `seq`s tell: its entries are there, or one of them
//! is filled with something else, after which it can't be committed any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::TRANSIENT_TRANSACTION_ERROR;
use protocol::{RoomId, UserId};

use super::super::super::{Appended, Change, EventBody, StoredEvent};
use super::super::cached::MembershipLookup;
use super::super::collections::{REACTIONS, ROOM_LOG, WORD_BLOCKS};
use super::super::database::Database;
use super::super::documents::{EntryDocument, stored_seq};
use super::super::failure::{Failure, Outcome, bounded, is_duplicate, is_passing};
use super::super::log::words::DueBlocks;
use super::super::log::{Entries, GapFiller, Messages, RoomHead, VisibleHeads};
use super::super::transaction::Transaction;
use super::change_documents::{
    read_state, touched_blocks, updates_of_messages, updates_of_reactions,
};
use super::change_plan::{Decision, Plan, Proposal};
use super::job::{Job, fail};
use super::sequencer::Sequencer;
use crate::StoreError;

/// How long it is tried to record changes. An election takes less.
const TRYING: Duration = Duration::from_secs(15);

/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes changes.
pub struct ChangeWriter {
    pub database: Database,
    pub memberships: MembershipLookup,
    pub entries: Entries,
    pub heads: VisibleHeads,
    pub messages: Messages,
    pub sequencer: Arc<Sequencer>,
    pub filler: GapFiller,
    pub due: Arc<DueBlocks>,
}

impl ChangeWriter {
    /// Records the changes of one room and completes them.
    pub async fn write(&self, room: RoomId, jobs: Vec<Job>) {
        let head = match self.heads.of(&room).await {
            Ok(head) => head,
            Err(failure) => return fail(jobs, failure),
        };
        let (jobs, proposals) = self.propose(&room, jobs).await;
        if jobs.is_empty() {
            return;
        }
        match self.record(&room, &head, &proposals).await {
            Ok(recorded) => self.answer(&room, &head, jobs, proposals, recorded).await,
            Err(failure) => fail(jobs, failure),
        }
    }

    /// The changes of those who are members. The others are answered.
    async fn propose(&self, room: &RoomId, jobs: Vec<Job>) -> (Vec<Job>, Vec<Proposal>) {
        let mut kept = Vec::with_capacity(jobs.len());
        let mut proposals = Vec::with_capacity(jobs.len());
        let actors: Vec<UserId> = jobs.iter().map(|job| job.entry.actor.clone()).collect();
        let statuses = match self.memberships.statuses(room, &actors).await {
            Ok(statuses) => statuses,
            Err(failure) => {
                fail(jobs, failure);
                return (kept, proposals);
            }
        };
        for (job, status) in jobs.into_iter().zip(statuses) {
            if job.is_stale() {
                job.complete(Err(StoreError::unavailable("it waited too long")));
            } else if status.role.is_none() && !is_processing(&job.entry.change) {
                job.complete(Err(StoreError::NotFound));
            } else {
                proposals.push(Proposal {
                    id: job.id.clone(),
                    actor: job.entry.actor.clone(),
                    blocked: status.blocked,
                    change: job.entry.change.clone(),
                });
                kept.push(job);
            }
        }
        (kept, proposals)
    }

    /// Records what may be recorded, and returns it with its `seq`s. `Unavailable` if it isn't known to be durable.
    async fn record(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        proposals: &[Proposal],
    ) -> Outcome<(Plan, Vec<u64>)> {
        let began = Instant::now();
        let mut reserved = Reservation::default();
        loop {
            let mut tried = None;
            let result = self
                .try_to_record(room, head, proposals, &mut reserved, &mut tried)
                .await;
            let failure = match result {
                Ok(plan) if plan.entries.is_empty() => {
                    // There was nothing to be recorded after all.
                    self.filler.fill_unused(room, head, &reserved.seqs).await;
                    return Ok((plan, reserved.seqs));
                }
                Ok(plan) => return Ok((plan, reserved.seqs)),
                Err(failure) => failure,
            };
            tracing::debug!(?failure, %room, "changes weren't recorded, or it isn't known");
            if let Some(plan) = tried
                && self
                    .was_recorded(room, &plan, &mut reserved, &failure, began)
                    .await?
            {
                return Ok((plan, reserved.seqs));
            }
            if began.elapsed() > TRYING || !is_worth_another_try(&failure) {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One transaction. `tried` is what may have been recorded if this fails.
    async fn try_to_record(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        proposals: &[Proposal],
        reserved: &mut Reservation,
        tried: &mut Option<Plan>,
    ) -> Outcome<Plan> {
        let mut transaction = Transaction::new(&self.database).await?;
        loop {
            *tried = None;
            let session = transaction.start().await?;
            let written = self
                .write_plan(session, room, head, proposals, reserved, tried)
                .await;
            match transaction.finish(written).await {
                Some(Ok(())) => break,
                Some(Err(failure)) => return Err(failure),
                None => {}
            }
        }
        tried
            .take()
            .ok_or_else(|| StoreError::internal("a plan was lost").into())
    }

    /// What is done in the transaction. It must do nothing else than read, write, and reserve `seq`s.
    async fn write_plan(
        &self,
        session: &mut ClientSession,
        room: &RoomId,
        head: &Arc<RoomHead>,
        proposals: &[Proposal],
        reserved: &mut Reservation,
        tried: &mut Option<Plan>,
    ) -> Outcome<()> {
        let collections = self.database.collections().await?;
        let state = read_state(collections, session, room, proposals).await?;
        let wanted = Plan::new(room, proposals, state.clone(), 1.., head.time());
        let missing = wanted.entries.len().saturating_sub(reserved.seqs.len());
        if missing > 0 {
            let new = match reserved.collided {
                true => self.sequencer.reserve_beyond(room, head, missing).await?,
                false => self.sequencer.reserve_count(room, head, missing).await?,
            };
            reserved.seqs.extend(new);
        }
        let at = head.time();
        let plan = tried.insert(Plan::new(
            room,
            proposals,
            state,
            reserved.seqs.iter().copied(),
            at,
        ));
        if plan.entries.is_empty() {
            return Ok(());
        }
        let mut entries = plan.entries.clone();
        let spare = reserved.seqs.get(entries.len()..).unwrap_or_default();
        entries.extend(
            spare
                .iter()
                .map(|seq| EntryDocument::tombstone(room, *seq, at)),
        );
        bounded(
            collections
                .room_log
                .insert_many(entries)
                .session(&mut *session),
        )
        .await?;
        self.write_state(session, room, plan).await
    }

    /// Writes the messages and reactions that a plan has changed.
    async fn write_state(
        &self,
        session: &mut ClientSession,
        room: &RoomId,
        plan: &Plan,
    ) -> Outcome<()> {
        self.update(session, ROOM_LOG, updates_of_messages(room, plan)?)
            .await?;
        for of in &plan.bare {
            let first = doc! { "r": room.as_str(), "s": stored_seq(*of) };
            let end = doc! { "r": room.as_str(), "s": stored_seq(*of + 1) };
            let filter = doc! { "roomId": room.as_str(), "_id": { "$gt": first, "$lt": end } };
            let reactions = &self.database.collections().await?.reactions;
            bounded(reactions.delete_many(filter).session(&mut *session)).await?;
        }
        self.update(session, REACTIONS, updates_of_reactions(room, plan))
            .await?;
        let blocks = touched_blocks(room, plan).into_iter();
        let updates = blocks.map(|(_, update)| update).collect();
        self.update(session, WORD_BLOCKS, updates).await
    }

    /// Many updates of a collection in one request, in a transaction.
    async fn update(
        &self,
        session: &mut ClientSession,
        collection: &str,
        updates: Vec<Document>,
    ) -> Outcome<()> {
        if updates.is_empty() {
            return Ok(());
        }
        let command = doc! { "update": collection, "updates": updates };
        let run = self
            .database
            .driver()
            .run_command(command)
            .session(&mut *session);
        let answer = bounded(run).await?;
        match answer.get_array("writeErrors") {
            // Another has just made the same document.
            Ok(errors) if !errors.is_empty() => {
                tracing::debug!(?errors, "a state wasn't updated");
                Err(StoreError::unavailable("another transaction was faster").into())
            }
            _ => Ok(()),
        }
    }

    /// True if a plan that seemed to fail was recorded after all. If not, it never will be, and `reserved` holds what is
    /// left of its `seq`s.
    async fn was_recorded(
        &self,
        room: &RoomId,
        plan: &Plan,
        reserved: &mut Reservation,
        failure: &Failure,
        began: Instant,
    ) -> Outcome<bool> {
        loop {
            match self.entries.at(room, reserved.seqs.clone()).await {
                Ok(found) if found.is_empty() => {
                    if was_aborted(failure) {
                        return Ok(false);
                    }
                    // Whoever fills the first `seq` now is first for good.
                    let first: Vec<u64> = reserved.seqs.first().copied().into_iter().collect();
                    if let Err(failure) = self.entries.fill(room, &first).await {
                        tracing::debug!(?failure, %room, "an outcome can't be decided yet");
                    }
                }
                Ok(found) => {
                    let is_mine =
                        |entry: &EntryDocument| plan.entries.iter().any(|mine| mine.id == entry.id);
                    if found.iter().any(is_mine) {
                        return Ok(true);
                    }
                    reserved
                        .seqs
                        .retain(|seq| found.iter().all(|entry| entry.seq() != *seq));
                    reserved.collided = true;
                    return Ok(false);
                }
                Err(failure) => tracing::debug!(?failure, %room, "an outcome can't be read"),
            }
            if began.elapsed() > TRYING {
                return Err(StoreError::unavailable("not known to be durable").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        jobs: Vec<Job>,
        proposals: Vec<Proposal>,
        (plan, seqs): (Plan, Vec<u64>),
    ) {
        if !plan.entries.is_empty() {
            self.heads.written(room, head, &seqs);
        }
        for (block, _) in touched_blocks(room, &plan) {
            self.due.renew(room, block);
        }
        for ((job, proposal), decision) in jobs.into_iter().zip(proposals).zip(plan.decisions) {
            let result = match decision {
                Decision::Refused(refusal) => Err(refusal),
                // The `seq` is one of these if an earlier try was committed and its answer got lost.
                Decision::Nothing(seq) => {
                    let recorded = seqs.contains(&seq);
                    self.changed(room, proposal, seq, None, recorded).await
                }
                Decision::Processed(seq, message) => {
                    let recorded = seqs.contains(&seq);
                    self.changed(room, proposal, seq, Some(message), recorded)
                        .await
                }
                Decision::Recorded {
                    seq,
                    message,
                    removed,
                } => {
                    let changed = self.changed(room, proposal, seq, message, true).await;
                    changed.map(|appended| Appended {
                        removed,
                        ..appended
                    })
                }
            };
            job.complete(result);
        }
    }

    /// The answer to a change.
    async fn changed(
        &self,
        room: &RoomId,
        proposal: Proposal,
        seq: u64,
        message: Option<Box<EntryDocument>>,
        recorded: bool,
    ) -> Result<Appended, StoreError> {
        let missing = || StoreError::internal("a change without its message");
        let body = match proposal.change {
            Change::Send { .. } => return Err(missing()),
            Change::Edit { of, .. } => {
                let message = vec![*message.ok_or_else(missing)?];
                let shown = self
                    .messages
                    .as_seen_by(room, message, Some(&proposal.actor))
                    .await?
                    .pop();
                EventBody::Edited {
                    of,
                    message: shown.ok_or_else(missing)?,
                }
            }
            Change::Process { of, attachment } => {
                let message = vec![*message.ok_or_else(missing)?];
                let shown = self.messages.as_seen_by(room, message, None).await?.pop();
                let shown = shown.ok_or_else(missing)?;
                EventBody::processed(of, shown, attachment.id.as_str())
            }
            Change::Delete { of, .. } => EventBody::Deleted { of },
            Change::React { of, emoji, on } => EventBody::Reacted {
                of,
                emoji,
                user_id: proposal.actor,
                on,
            },
        };
        let event = StoredEvent {
            room_id: room.clone(),
            seq,
            body,
        };
        Ok(Appended {
            event,
            recorded,
            removed: Vec::new(),
        })
    }
}

/// What became of an attachment is recorded also if its sender has left.
fn is_processing(change: &Change) -> bool {
    matches!(change, Change::Process { .. })
}

/// `seq`s that were reserved for changes.
#[derive(Default)]
struct Reservation {
    seqs: Vec<u64>,
    /// True if some turned out to be taken by another.
    collided: bool,
}

/// True if a transaction that failed with this certainly wasn't committed.
fn was_aborted(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(_) => false,
        Failure::Mongodb(error) => {
            is_duplicate(error) || error.contains_label(TRANSIENT_TRANSACTION_ERROR)
        }
    }
}

/// True if the next try may succeed.
fn is_worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(error) => matches!(error, StoreError::Unavailable(_)),
        Failure::Mongodb(error) => is_duplicate(error) || is_passing(error),
    }
}
