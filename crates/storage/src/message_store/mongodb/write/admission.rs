//! Which messages may be written. Who may write is cached; only an answer to another message, and one with mentions, costs
//! a read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use protocol::{RoomId, Sender, Timestamp, UserId};

use super::super::super::Change;
use super::super::super::StoredAttachment;
use super::super::super::attachment;
use super::super::super::change_rules::no_such_message;
use super::super::cached::{BlockLookup, MembershipLookup, MembershipStatus, People};
use super::super::documents::{EntryDocument, Kind, stored_seq};
use super::super::log::{Entries, IdempotencyKey, VisibleHeads};
use super::answers::Answers;
use super::batch::{PendingInsert, RoomBatch};
use super::job::{Job, fail};
use crate::StoreError;

/// A message that may be admitted.
struct Candidate {
    job: Job,
    key: Option<IdempotencyKey>,
    body: String,
    reply_to: Option<u64>,
    mentions: Vec<UserId>,
    attachments: Vec<StoredAttachment>,
}

impl Candidate {
    /// Takes the change out of a job; returns a job that isn't a message's.
    #[expect(
        clippy::result_large_err,
        reason = "both are moved on at once, and a box would be an allocation for each message"
    )]
    fn new(mut job: Job) -> Result<Self, Job> {
        let nothing = Change::Delete {
            of: 0,
            moderator: false,
        };
        match std::mem::replace(&mut job.entry.change, nothing) {
            Change::Send {
                client_id,
                body,
                reply_to,
                mentions,
                attachments,
            } => {
                let sender = job.entry.actor.clone();
                let key = client_id.map(|client_id| IdempotencyKey { sender, client_id });
                Ok(Self {
                    job,
                    key,
                    body,
                    reply_to,
                    mentions,
                    attachments,
                })
            }
            _ => Err(job),
        }
    }

    /// As it is inserted once it has a `seq`.
    fn pending(self, room: &RoomId, sender: Sender, at: Timestamp) -> PendingInsert {
        let Self {
            job,
            key,
            body,
            reply_to,
            mentions,
            attachments,
        } = self;
        let entry = EntryDocument {
            sender_id: Some(sender.id.clone()),
            client_id: key.as_ref().map(|key| key.client_id.clone()),
            body: Some(body),
            reply_to: reply_to.map(stored_seq),
            mentions,
            attachments: attachment::to_text(&attachments),
            ..EntryDocument::new(room, 0, Kind::Message, job.id.clone(), at)
        };
        PendingInsert::new(job, key, sender, entry)
    }
}

/// Admits messages, and answers those that may not be written.
pub struct Admission {
    pub heads: VisibleHeads,
    pub people: People,
    pub memberships: MembershipLookup,
    pub blocks: BlockLookup,
    pub entries: Entries,
    pub answers: Arc<Answers>,
}

impl Admission {
    /// The messages of a room that may be written. The others are answered.
    pub async fn admit(&self, room: RoomId, jobs: Vec<Job>) -> Option<RoomBatch> {
        let head = match self.heads.of(&room).await {
            Ok(head) => head,
            Err(failure) => {
                fail(jobs, failure);
                return None;
            }
        };
        let admitted = self.check(&room, jobs).await;
        let ids: Vec<UserId> = admitted
            .iter()
            .map(|message| message.job.entry.actor.clone())
            .collect();
        let senders = match self.people.senders(&ids).await {
            Ok(senders) => senders,
            Err(failure) => {
                fail(admitted.into_iter().map(|message| message.job), failure);
                return None;
            }
        };
        let mut batch = RoomBatch {
            ordered: ids.iter().collect::<HashSet<_>>().len() < ids.len(),
            room,
            head,
            messages: Vec::with_capacity(ids.len()),
        };
        let mut by_key: HashMap<IdempotencyKey, usize> = HashMap::new();
        for (message, sender) in admitted.into_iter().zip(senders) {
            if let Some(key) = message.key.clone() {
                let index = *by_key.entry(key).or_insert(batch.messages.len());
                if let Some(first) = batch.messages.get_mut(index) {
                    first.followers.push(message.job);
                    continue;
                }
            }
            let at = batch.head.time();
            batch
                .messages
                .push(message.pending(&batch.room, sender, at));
        }
        (!batch.messages.is_empty()).then_some(batch)
    }

    /// Checks of each message whether its sender may send it, and answers those that can't be sent.
    async fn check(&self, room: &RoomId, jobs: Vec<Job>) -> Vec<Candidate> {
        let actors: HashSet<UserId> = jobs.iter().map(|job| job.entry.actor.clone()).collect();
        let actors: Vec<UserId> = actors.into_iter().collect();
        let statuses = match self.memberships.statuses(room, &actors).await {
            Ok(statuses) => statuses,
            Err(failure) => {
                fail(jobs, failure);
                return Vec::new();
            }
        };
        let refusals = actors.into_iter().zip(statuses.into_iter().map(refusal));
        let refusals: HashMap<UserId, Option<StoreError>> = refusals.collect();
        let mut admitted = Vec::with_capacity(jobs.len());
        for job in jobs {
            if job.is_stale() {
                job.complete(Err(StoreError::unavailable("it waited too long")));
                continue;
            }
            match (
                refusals.get(&job.entry.actor).cloned().flatten(),
                Candidate::new(job),
            ) {
                (Some(refusal), Ok(message)) => self.refuse(room, message, refusal).await,
                (None, Ok(message)) => admitted.push(message),
                (_, Err(job)) => job.complete(Err(StoreError::internal("a change among messages"))),
            }
        }
        let admitted = self.check_answered(room, admitted).await;
        self.check_mentioned(admitted).await
    }

    /// Removes from the messages' mentions those users who have a block between them and the sender.
    async fn check_mentioned(&self, mut messages: Vec<Candidate>) -> Vec<Candidate> {
        let mentioning = messages.iter().filter(|it| !it.mentions.is_empty());
        let people: HashSet<UserId> = mentioning
            .flat_map(|it| it.mentions.iter().chain([&it.job.entry.actor]).cloned())
            .collect();
        if people.is_empty() {
            return messages;
        }
        let blocks = match self.blocks.among(&people).await {
            Ok(blocks) => blocks,
            Err(failure) => {
                let (mentioning, others) = messages
                    .into_iter()
                    .partition::<Vec<_>, _>(|message| !message.mentions.is_empty());
                fail(mentioning.into_iter().map(|message| message.job), failure);
                return others;
            }
        };
        for message in &mut messages {
            let sender = &message.job.entry.actor;
            let has_blocked = |one: &UserId, other: &UserId| {
                blocks
                    .get(one)
                    .is_some_and(|blocked| blocked.contains(other))
            };
            message
                .mentions
                .retain(|it| !has_blocked(sender, it) && !has_blocked(it, sender));
        }
        messages
    }

    /// Refuses the messages that answer something which isn't a message of the room.
    async fn check_answered(&self, room: &RoomId, messages: Vec<Candidate>) -> Vec<Candidate> {
        let answered: HashSet<u64> = messages
            .iter()
            .filter_map(|message| message.reply_to)
            .collect();
        if answered.is_empty() {
            return messages;
        }
        let known = self.entries.messages_among(room, answered).await;
        let known = known.map_err(StoreError::from);
        let mut admitted = Vec::with_capacity(messages.len());
        for message in messages {
            match (message.reply_to, &known) {
                (None, _) => admitted.push(message),
                (Some(seq), Ok(known)) if known.contains(&seq) => admitted.push(message),
                (Some(_), Ok(_)) => {
                    let refusal = no_such_message();
                    self.refuse(room, message, refusal).await;
                }
                (Some(_), Err(error)) => message.job.complete(Err(error.clone())),
            }
        }
        admitted
    }

    /// Answers a message that can't be sent: what was sent stays sent, even if it couldn't be sent now.
    async fn refuse(&self, room: &RoomId, message: Candidate, refusal: StoreError) {
        let Candidate { job, key, .. } = message;
        let (Some(key), false) = (key, matches!(refusal, StoreError::NotFound)) else {
            return job.complete(Err(refusal));
        };
        let earlier = self.entries.with_keys(room, &[key]).await;
        let earlier = earlier.map(|mut entries| entries.pop());
        let result = match earlier {
            Ok(Some(earlier)) => {
                self.answers
                    .duplicate(room, earlier, &job.entry.actor)
                    .await
            }
            Ok(None) => Err(refusal),
            Err(failure) => Err(failure.into()),
        };
        job.complete(result);
    }
}

/// Why a user can't write to a room at all.
fn refusal(status: MembershipStatus) -> Option<StoreError> {
    match status.role {
        None => Some(StoreError::NotFound),
        Some(_) if status.blocked => Some(StoreError::Forbidden),
        Some(_) => None,
    }
}
