//! The answers to messages, once it is decided what became of them.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::{RoomId, UserId};

use super::super::super::{Appended, EventBody, StoredEvent, StoredMessage};
use super::super::counts::Counts;
use super::super::documents::EntryDocument;
use super::super::log::{Messages, VisibleHeads, stored_message};
use super::batch::{InsertOutcome, PendingInsert, RoomBatch};
use super::counters::Counters;
use crate::StoreError;

/// Answers messages, and notes what became visible.
pub struct Answers {
    pub heads: VisibleHeads,
    pub messages: Messages,
    pub counters: Arc<Counters>,
    pub counts: Arc<Counts>,
}

impl Answers {
    /// Answers the messages of a room, in the order of their `seq`s.
    pub async fn send(&self, batch: RoomBatch) {
        let RoomBatch {
            room,
            head,
            messages,
            ..
        } = batch;
        let mut answers = Vec::with_capacity(messages.len());
        let mut written = Vec::new();
        let mut keys = Vec::new();
        let counts = &self.counts;
        for message in messages {
            let PendingInsert {
                job,
                followers,
                key,
                sender,
                entry,
                outcome,
                ..
            } = message;
            let result = match outcome {
                Some(InsertOutcome::Stored) => {
                    counts.stored.add(1);
                    written.push(entry.seq());
                    keys.extend(key.map(|key| (room.clone(), key, entry.seq())));
                    Ok(sent(stored_message(entry, sender, &HashSet::new()), true))
                }
                Some(InsertOutcome::Duplicate(earlier)) => {
                    counts.duplicates.add(1);
                    keys.extend(key.map(|key| (room.clone(), key, earlier.seq())));
                    self.duplicate(&room, *earlier, &job.entry.actor).await
                }
                Some(InsertOutcome::Failed(error)) => {
                    counts.failed.add(1);
                    Err(error)
                }
                None => Err(StoreError::internal("a message without an outcome")),
            };
            answers.push((result, job, followers));
        }
        self.heads.written(&room, &head, &written);
        self.counters.remember(&keys);
        answers.sort_by_key(|(result, ..)| result.as_ref().map_or(0, |sent| sent.event.seq));
        for (result, job, followers) in answers {
            let again = result.clone().map(|first| Appended {
                recorded: false,
                ..first
            });
            job.complete(result);
            for follower in followers {
                follower.complete(again.clone());
            }
        }
        if !keys.is_empty() {
            let counters = Arc::clone(&self.counters);
            tokio::spawn(async move { counters.publish(keys).await });
        }
    }

    /// The answer to a message whose key is that of an earlier one.
    pub async fn duplicate(
        &self,
        room: &RoomId,
        earlier: EntryDocument,
        actor: &UserId,
    ) -> Result<Appended, StoreError> {
        let shown = self
            .messages
            .as_seen_by(room, vec![earlier], Some(actor))
            .await?
            .pop();
        let shown = shown.ok_or_else(|| StoreError::internal("a duplicate has no original"))?;
        Ok(sent(shown, false))
    }
}

fn sent(message: StoredMessage, recorded: bool) -> Appended {
    let event = StoredEvent {
        room_id: message.room_id.clone(),
        seq: message.seq,
        body: EventBody::Sent(message),
    };
    Appended {
        event,
        recorded,
        removed: Vec::new(),
    }
}
