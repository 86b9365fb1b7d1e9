//! Places in the logs, from Redis, or from the log itself where Redis can't be asked.
//!
//! Two who give out places at once, one with Redis and one without, may give out the same one: the key of the entry
//! decides who has it, the other asks again. What an instance is given is always above all that it was given before
//! in that room: a counter that fell back, as one does that a replica took over, can't put a sender's second message
//! before the first.

use std::sync::Arc;

use futures_util::StreamExt;
use mongodb::bson::{Document, doc};
use protocol::RoomId;
use redis_client::RedisError;

use super::MongoStore;
use super::collections::all;
use super::documents::{EntryDocument, at_places};
use super::failure::Outcome;
use super::sequencer::{Got, Name, NoPlace, Want};
use super::visible_head::RoomHead;
use crate::StoreError;

/// Rooms that are asked about at once.
const AT_ONCE: usize = 16;

/// What a room got, or why nothing.
pub(super) type Reserved = Result<Got, StoreError>;

/// Where places came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Redis,
    Log,
}

impl MongoStore {
    /// Places for each room, in the order of `wants`, above all that this instance knows of. The second list holds rooms
    /// whose places didn't come from Redis: others must be told of what is written there.
    pub(super) async fn reserve(&self, wants: Vec<Want>) -> (Vec<Reserved>, Vec<(RoomId, u64)>) {
        let answers = self.shared.logs.sequencer.reserve(&wants).await;
        let mut settling = Vec::with_capacity(wants.len());
        for (want, answer) in wants.into_iter().zip(answers) {
            settling.push(self.settle_reservation(want, answer));
        }
        let settled: Vec<_> = futures_util::stream::iter(settling)
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut results = Vec::with_capacity(settled.len());
        let mut degraded = Vec::new();
        for (want, result) in settled {
            let result = result.map(|(got, from)| {
                let last = got.last(want.unnamed);
                want.head.issued(last);
                if from == Source::Log {
                    degraded.push((want.room, last));
                }
                got
            });
            results.push(result.map_err(StoreError::from));
        }
        (results, degraded)
    }

    async fn settle_reservation(
        &self,
        want: Want,
        answer: Result<Got, NoPlace>,
    ) -> (Want, Outcome<(Got, Source)>) {
        let result = match answer {
            Ok(got) => Ok((got, Source::Redis)),
            Err(reason) => self.reserve_with_log(&want, reason).await,
        };
        (want, result)
    }

    /// A number of places of one room, ascending, after places that were given out turned out to be taken: the counter
    /// is behind, or somebody without Redis writes to the room too.
    pub(super) async fn reserve_beyond(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        count: usize,
    ) -> Outcome<Vec<u64>> {
        head.issued(self.log_end(room, head).await?);
        self.reserve_some(room, head, count).await
    }

    /// A number of places of one room, ascending.
    pub(super) async fn reserve_some(
        &self,
        room: &RoomId,
        head: &Arc<RoomHead>,
        count: usize,
    ) -> Outcome<Vec<u64>> {
        let want = Want {
            room: room.clone(),
            head: Arc::clone(head),
            names: Vec::new(),
            unnamed: count,
        };
        let (mut results, degraded) = self.reserve(vec![want]).await;
        let got = results
            .pop()
            .unwrap_or_else(|| Err(StoreError::internal("no answer")))?;
        self.name_degraded(degraded).await;
        Ok((got.first..).take(count).collect())
    }

    /// Places of a room whose counter is missing, or can't be asked.
    async fn reserve_with_log(&self, want: &Want, reason: NoPlace) -> Outcome<(Got, Source)> {
        let end = self.log_end(&want.room, &want.head).await?;
        want.head.issued(end);
        let reason = match reason {
            NoPlace::Missing => match self.set_counter(want, end).await {
                Ok(got) => {
                    self.shared.logs.counts.counters_restored.add(1);
                    return Ok((got, Source::Redis));
                }
                Err(reason) => reason,
            },
            NoPlace::Redis(reason) => reason,
        };
        self.shared.logs.counts.degraded_reservations.add(1);
        tracing::debug!(%reason, room = %want.room, "places are given out without Redis");
        let got = Got {
            first: want.head.taken() + 1,
            found: self.find_names(&want.room, &want.names).await?,
        };
        Ok((got, Source::Log))
    }

    /// Raises a counter to the end of the log, and asks it.
    async fn set_counter(&self, want: &Want, end: u64) -> Result<Got, RedisError> {
        let sequencer = &self.shared.logs.sequencer;
        sequencer.raise(&want.room, &want.head.epoch, end).await?;
        let answer = sequencer.reserve(std::slice::from_ref(want)).await.pop();
        match answer {
            Some(Ok(got)) => Ok(got),
            Some(Err(NoPlace::Redis(error))) => Err(error),
            Some(Err(NoPlace::Missing)) | None => Err(RedisError::Unexpected(
                "a counter went as soon as it was set".to_owned(),
            )),
        }
    }

    /// The places of those of these messages that are in the log.
    async fn find_names(&self, room: &RoomId, names: &[Name]) -> Outcome<Vec<Option<u64>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries_by_name(room, names).await?;
        let place = |name: &Name| {
            let entry = entries.iter().find(|entry| is_named(entry, name));
            entry.map(EntryDocument::seq)
        };
        Ok(names.iter().map(place).collect())
    }

    /// Those of these messages that are in the log.
    pub(super) async fn entries_by_name(
        &self,
        room: &RoomId,
        names: &[Name],
    ) -> Outcome<Vec<EntryDocument>> {
        let alternatives: Vec<Document> = names
            .iter()
            .map(|name| {
                doc! {
                    "roomId": room.as_str(),
                    "senderId": name.sender.as_str(),
                    "clientId": &name.client_id,
                }
            })
            .collect();
        let filter = doc! { "roomId": room.as_str(), "$or": alternatives };
        all(self.collections().await?.room_log.find(filter)).await
    }

    /// What stands at these places.
    pub(super) async fn entries_at(
        &self,
        room: &RoomId,
        seqs: Vec<u64>,
    ) -> Outcome<Vec<EntryDocument>> {
        let filter = at_places(room, seqs);
        all(self.collections().await?.room_log.find(filter)).await
    }
}

impl Got {
    /// The last of the places, for a room that wanted `unnamed` beside its names.
    fn last(&self, unnamed: usize) -> u64 {
        let named = self.found.iter().filter(|found| found.is_none()).count();
        (self.first + (named + unnamed) as u64).saturating_sub(1)
    }
}

/// Whether an entry is the message that its sender calls so.
pub(super) fn is_named(entry: &EntryDocument, name: &Name) -> bool {
    entry.sender_id.as_ref() == Some(&name.sender)
        && entry.client_id.as_deref() == Some(&name.client_id)
}
