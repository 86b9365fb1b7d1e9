//! Gives messages their `seq`s, and recognises those that were sent before.

use std::sync::Arc;

use protocol::RoomId;

use super::super::failure::Outcome;
use super::super::log::{Entries, IdempotencyKey};
use super::batch::{InsertOutcome, RoomBatch};
use super::counters::{Counters, Grant, Request};
use super::sequencer::Sequencer;

/// Assigns `seq`s to messages.
pub struct Assignment {
    pub entries: Entries,
    pub sequencer: Arc<Sequencer>,
    pub counters: Arc<Counters>,
}

impl Assignment {
    /// Gives each message a `seq`, or the outcome of one that was sent before. The second list holds rooms whose `seq`s
    /// didn't come from Redis.
    pub async fn assign(&self, batches: Vec<RoomBatch>) -> (Vec<RoomBatch>, Vec<(RoomId, u64)>) {
        let lookups: Vec<Lookup> = batches.iter().map(|batch| self.look_up(batch)).collect();
        let requests = batches.iter().zip(&lookups).map(|(batch, lookup)| Request {
            room: batch.room.clone(),
            head: Arc::clone(&batch.head),
            without_key: batch.messages.len() - lookup.keys.len() - lookup.pending.len(),
            keys: lookup.keys.iter().map(|(key, _)| key.clone()).collect(),
        });
        let requests: Vec<Request> = requests.collect();
        let (answers, degraded) = self.sequencer.reserve(requests).await;
        let mut assigned = Vec::with_capacity(batches.len());
        for ((mut batch, lookup), answer) in batches.into_iter().zip(lookups).zip(answers) {
            let used = match answer {
                Ok(grant) => self.use_grant(&mut batch, lookup, grant).await,
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = used {
                batch.fail(&failure.into());
            }
            assigned.push(batch);
        }
        (assigned, degraded)
    }

    /// Which keys of a batch are to be looked up in Redis, and which needn't be.
    fn look_up(&self, batch: &RoomBatch) -> Lookup {
        let mut lookup = Lookup::default();
        for (index, message) in batch.messages.iter().enumerate() {
            let Some(key) = &message.key else { continue };
            match self.counters.pending(&batch.room, key) {
                Some(seq) => lookup.pending.push((seq, index)),
                None => lookup.keys.push((key.clone(), index)),
            }
        }
        lookup
    }

    async fn use_grant(&self, batch: &mut RoomBatch, lookup: Lookup, grant: Grant) -> Outcome<()> {
        let found = lookup.keys.iter().zip(&grant.found);
        let mut earlier = lookup.pending;
        earlier.extend(found.filter_map(|((_, index), seq)| Some(((*seq)?, *index))));
        let count = batch.messages.len() - earlier.len();
        self.decide_duplicates(batch, earlier).await?;
        // More than was requested, if something was wrongly remembered.
        let missing = batch.undecided().count() - count;
        let more = match missing {
            0 => Vec::new(),
            _ => {
                self.sequencer
                    .reserve_beyond(&batch.room, &batch.head, missing)
                    .await?
            }
        };
        batch.assign((grant.first..).take(count).chain(more));
        Ok(())
    }

    /// Decides those of these messages that are stored where they are remembered to be.
    async fn decide_duplicates(
        &self,
        batch: &mut RoomBatch,
        earlier: Vec<(u64, usize)>,
    ) -> Outcome<()> {
        if earlier.is_empty() {
            return Ok(());
        }
        let seqs = earlier.iter().map(|(seq, _)| *seq).collect();
        let stored = self.entries.at(&batch.room, seqs).await?;
        for (seq, index) in earlier {
            let Some(message) = batch.messages.get_mut(index) else {
                continue;
            };
            let here = stored.iter().find(|entry| entry.seq() == seq);
            let key = message.key.as_ref();
            if let (Some(entry), Some(key)) = (here, key)
                && key.is_of(entry)
            {
                message.outcome = Some(InsertOutcome::Duplicate(Box::new(entry.clone())));
            }
        }
        Ok(())
    }
}

/// The keys in a batch, each with the index of its message.
#[derive(Default)]
struct Lookup {
    /// Those that are to be looked up in Redis.
    keys: Vec<(IdempotencyKey, usize)>,
    /// Those of a moment ago, which aren't in Redis yet, with the `seq`s of their messages.
    pending: Vec<(u64, usize)>,
}
