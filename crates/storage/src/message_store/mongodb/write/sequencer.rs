//! Reserves `seq`s, with Redis, or from the log itself where Redis can't be asked.
//!
//! Two instances that reserve at once, one with Redis and one without, may choose the same `seq`: the key of the entry
//! decides who has it, and the other reserves again. What an instance reserves is always above all that it reserved
//! before in that room: a counter that fell back, as one does that a replica took over, can't put a sender's second
//! message before the first.

use std::sync::Arc;

use futures_util::StreamExt;
use protocol::RoomId;
use redis_client::RedisError;

use super::super::counts::Counts;
use super::super::documents::EntryDocument;
use super::super::failure::Outcome;
use super::super::log::{DegradedRooms, Entries, IdempotencyKey, RoomHead, VisibleHeads};
use super::counters::{Counters, Grant, NotGranted, Request};
use crate::StoreError;

/// Rooms that are asked about at once.
const AT_ONCE: usize = 16;

/// What was granted to a room, or why nothing.
pub type Reserved = Result<Grant, StoreError>;

/// Where `seq`s came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Redis,
    Log,
}

/// Reserves `seq`s.
pub struct Sequencer {
    pub counters: Arc<Counters>,
    pub entries: Entries,
    pub heads: VisibleHeads,
    pub degraded: DegradedRooms,
    pub counts: Arc<Counts>,
}

impl Sequencer {
    /// Reserves `seq`s for each request, in their order, above all that this instance knows of. The second list holds
    /// rooms whose `seq`s didn't come from Redis: what is written there has to be announced to other instances.
    pub async fn reserve(&self, requests: Vec<Request>) -> (Vec<Reserved>, Vec<(RoomId, u64)>) {
        let answers = self.counters.reserve(&requests).await;
        let mut settling = Vec::with_capacity(requests.len());
        for (request, answer) in requests.into_iter().zip(answers) {
            settling.push(self.settle_reservation(request, answer));
        }
        let settled: Vec<_> = futures_util::stream::iter(settling)
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut results = Vec::with_capacity(settled.len());
        let mut degraded = Vec::new();
        for (request, result) in settled {
            let result = result.map(|(grant, from)| {
                let last = grant.last(request.without_key);
                request.head.reserved(last);
                if from == Source::Log {
                    degraded.push((request.room, last));
                }
                grant
            });
            results.push(result.map_err(StoreError::from));
        }
        (results, degraded)
    }

    async fn settle_reservation(
        &self,
        request: Request,
        answer: Result<Grant, NotGranted>,
    ) -> (Request, Outcome<(Grant, Source)>) {
        let result = match answer {
            Ok(grant) => Ok((grant, Source::Redis)),
            Err(reason) => self.reserve_with_log(&request, reason).await,
        };
        (request, result)
    }

    /// A number of `seq`s of one room, ascending, after reserved ones turned out to be taken: the counter is behind, or
    /// another instance writes to the room without Redis.
    pub async fn reserve_beyond(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        count: usize,
    ) -> Outcome<Vec<u64>> {
        head.reserved(self.heads.end_of_log(room, head).await?);
        self.reserve_count(room, head, count).await
    }

    /// A number of `seq`s of one room, ascending.
    pub async fn reserve_count(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        count: usize,
    ) -> Outcome<Vec<u64>> {
        let request = Request {
            room: room.clone(),
            head: Arc::clone(head),
            keys: Vec::new(),
            without_key: count,
        };
        let (mut results, degraded) = self.reserve(vec![request]).await;
        let grant = results
            .pop()
            .unwrap_or_else(|| Err(StoreError::internal("no answer")))?;
        self.degraded.announce(degraded).await;
        Ok((grant.first..).take(count).collect())
    }

    /// Reserves `seq`s of a room whose counter is missing, or can't be asked.
    async fn reserve_with_log(
        &self,
        request: &Request,
        reason: NotGranted,
    ) -> Outcome<(Grant, Source)> {
        let end = self.heads.end_of_log(&request.room, &request.head).await?;
        request.head.reserved(end);
        let reason = match reason {
            NotGranted::Missing => match self.set_counter(request, end).await {
                Ok(grant) => {
                    self.counts.counters_restored.add(1);
                    return Ok((grant, Source::Redis));
                }
                Err(reason) => reason,
            },
            NotGranted::Redis(reason) => reason,
        };
        self.counts.degraded_reservations.add(1);
        tracing::debug!(%reason, room = %request.room, "seqs are reserved without Redis");
        let grant = Grant {
            first: request.head.last_taken() + 1,
            found: self.find_keys(&request.room, &request.keys).await?,
        };
        Ok((grant, Source::Log))
    }

    /// Raises a counter to the end of the log, and asks it.
    async fn set_counter(&self, request: &Request, end: u64) -> Result<Grant, RedisError> {
        let counters = &self.counters;
        counters
            .raise(&request.room, &request.head.epoch, end)
            .await?;
        let answer = counters.reserve(std::slice::from_ref(request)).await.pop();
        match answer {
            Some(Ok(grant)) => Ok(grant),
            Some(Err(NotGranted::Redis(error))) => Err(error),
            Some(Err(NotGranted::Missing)) | None => Err(RedisError::Unexpected(
                "a counter went as soon as it was set".to_owned(),
            )),
        }
    }

    /// The `seq`s of those of these messages that are in the log.
    async fn find_keys(&self, room: &RoomId, keys: &[IdempotencyKey]) -> Outcome<Vec<Option<u64>>> {
        let entries = self.entries.with_keys(room, keys).await?;
        let seq = |key: &IdempotencyKey| {
            let entry = entries.iter().find(|entry| key.is_of(entry));
            entry.map(EntryDocument::seq)
        };
        Ok(keys.iter().map(seq).collect())
    }
}
