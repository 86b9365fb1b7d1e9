//! The messages of a round on their way into the log.

use std::sync::Arc;

use protocol::{RoomId, Sender};

use super::super::documents::{EntryDocument, stored_seq};
use super::super::log::{IdempotencyKey, RoomHead};
use super::job::Job;
use crate::StoreError;

/// A message that is to be inserted.
pub struct PendingInsert {
    pub job: Job,
    /// Jobs of the same key in this round: they end as duplicates of this one.
    pub followers: Vec<Job>,
    pub key: Option<IdempotencyKey>,
    pub sender: Sender,
    /// What is inserted; its `seq` may change until it is stored.
    pub entry: EntryDocument,
    pub outcome: Option<InsertOutcome>,
    /// What the last request did to it.
    pub attempt: Attempt,
}

/// What became of a message.
pub enum InsertOutcome {
    /// It is durable, at the `seq` of its entry.
    Stored,
    /// Its key is that of this earlier message.
    Duplicate(Box<EntryDocument>),
    /// It isn't known to be durable, or can't be.
    Failed(StoreError),
}

/// What one request did to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing: it stands behind one that couldn't be inserted.
    Untried,
    Stored,
    /// Its `seq` or its key is taken, perhaps by itself.
    Taken,
    Unknown,
    /// Its `seq` is another entry's.
    Lost,
    /// It can't be stored, for a reason of its own.
    Failed,
}

/// The messages of one room in a round, in the order in which they came, which is that of their `seq`s.
pub struct RoomBatch {
    pub room: RoomId,
    pub head: Arc<RoomHead>,
    /// True if one sender has several of the messages.
    pub ordered: bool,
    pub messages: Vec<PendingInsert>,
}

impl PendingInsert {
    pub fn new(
        job: Job,
        key: Option<IdempotencyKey>,
        sender: Sender,
        entry: EntryDocument,
    ) -> Self {
        Self {
            job,
            followers: Vec::new(),
            key,
            sender,
            entry,
            outcome: None,
            attempt: Attempt::Untried,
        }
    }

    pub fn set_seq(&mut self, seq: u64) {
        self.entry.seq = stored_seq(seq);
        self.entry.key.s = stored_seq(seq);
    }
}

impl RoomBatch {
    /// The messages whose outcome isn't known yet.
    pub fn undecided(&mut self) -> impl Iterator<Item = &mut PendingInsert> {
        let messages = self.messages.iter_mut();
        messages.filter(|message| message.outcome.is_none())
    }

    pub fn is_decided(&mut self) -> bool {
        self.undecided().next().is_none()
    }

    /// Gives the undecided messages, in their order, these `seq`s, which ascend; returns what is left over.
    pub fn assign(&mut self, seqs: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut seqs = seqs.into_iter();
        for message in self.undecided() {
            match seqs.next() {
                Some(seq) => message.set_seq(seq),
                None => break,
            }
        }
        seqs.collect()
    }

    pub fn fail(&mut self, error: &StoreError) {
        for message in self.undecided() {
            message.outcome = Some(InsertOutcome::Failed(error.clone()));
        }
    }

    /// Decides what the last request made certain.
    pub fn take_certain(&mut self) {
        for message in self.undecided() {
            match message.attempt {
                Attempt::Stored => message.outcome = Some(InsertOutcome::Stored),
                Attempt::Failed => {
                    let error = StoreError::internal("the message can't be stored");
                    message.outcome = Some(InsertOutcome::Failed(error));
                }
                Attempt::Untried | Attempt::Taken | Attempt::Lost | Attempt::Unknown => {}
            }
        }
    }
}
