//! One round of messages: what gathered while the last one was on its way, of many rooms and senders. It is looked at,
//! given places, inserted, and answered.
//!
//! The steps of a round are counted: one call of Redis for each partition, pipelined, and one insert. Who may write is
//! remembered; only an answer to another message costs its room a read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use protocol::{RoomId, Sender, Timestamp, UserId};

use super::super::{Appended, Change, Occurrence, StoredEvent, StoredMessage};
use super::MongoStore;
use super::collections::all;
use super::documents::{EntryDocument, Kind, at_places, stored_seq};
use super::failure::{Failure, Outcome};
use super::insertion::{Ending, RoomBatch, Sending};
use super::lanes::Job;
use super::message::message;
use super::places::is_named;
use super::sequencer::{Got, Name, Want};
use super::standing::Standing;
use crate::StoreError;

/// Rooms that are prepared at once.
const AT_ONCE: usize = 32;

/// Writes the messages of a round and completes them.
pub(super) async fn run(store: MongoStore, rooms: Vec<(RoomId, Vec<Job>)>) {
    let preparing = rooms
        .into_iter()
        .map(|(room, jobs)| store.prepare(room, jobs));
    let batches: Vec<RoomBatch> = futures_util::stream::iter(preparing)
        .buffered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let (batches, degraded) = store.place(batches).await;
    // Others are told of rooms that are written to without Redis before the writers are answered.
    tokio::join!(store.name_degraded(degraded), store.insert(batches));
}

/// A message on its way to be admitted.
struct Candidate {
    job: Job,
    name: Option<Name>,
    body: String,
    reply_to: Option<u64>,
    mentions: Vec<UserId>,
}

impl Candidate {
    /// From a job, whose change it takes.
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
            } => {
                let sender = job.entry.actor.clone();
                let name = client_id.map(|client_id| Name { sender, client_id });
                Ok(Self {
                    job,
                    name,
                    body,
                    reply_to,
                    mentions,
                })
            }
            _ => Err(job),
        }
    }

    /// As it is inserted once it has a place.
    fn sending(self, room: &RoomId, sender: Sender, at: Timestamp) -> Sending {
        let Self {
            job,
            name,
            body,
            reply_to,
            mentions,
        } = self;
        let entry = EntryDocument {
            sender_id: Some(sender.id.clone()),
            client_id: name.as_ref().map(|name| name.client_id.clone()),
            body: Some(body),
            reply_to: reply_to.map(stored_seq),
            mentions,
            ..EntryDocument::new(room, 0, Kind::Message, job.id.clone(), at)
        };
        Sending::new(job, name, sender, entry)
    }
}

impl MongoStore {
    /// The messages of a room that may be written. The others are answered.
    async fn prepare(&self, room: RoomId, jobs: Vec<Job>) -> Option<RoomBatch> {
        let head = match self.room_head(&room).await {
            Ok(head) => head,
            Err(failure) => {
                fail(jobs, failure);
                return None;
            }
        };
        let admitted = self.admit(&room, jobs).await;
        let ids: Vec<UserId> = admitted
            .iter()
            .map(|message| message.job.entry.actor.clone())
            .collect();
        let senders = match self.senders(&ids).await {
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
            sendings: Vec::with_capacity(ids.len()),
        };
        let mut named: HashMap<Name, usize> = HashMap::new();
        for (message, sender) in admitted.into_iter().zip(senders) {
            if let Some(name) = message.name.clone() {
                let index = *named.entry(name).or_insert(batch.sendings.len());
                if let Some(first) = batch.sendings.get_mut(index) {
                    first.followers.push(message.job);
                    continue;
                }
            }
            let at = batch.head.time();
            batch
                .sendings
                .push(message.sending(&batch.room, sender, at));
        }
        (!batch.sendings.is_empty()).then_some(batch)
    }

    /// Asks of each message whether its sender may send it, and answers those that can't be sent.
    async fn admit(&self, room: &RoomId, jobs: Vec<Job>) -> Vec<Candidate> {
        let actors: HashSet<UserId> = jobs.iter().map(|job| job.entry.actor.clone()).collect();
        let actors: Vec<UserId> = actors.into_iter().collect();
        let standings = match self.standings(room, &actors).await {
            Ok(standings) => standings,
            Err(failure) => {
                fail(jobs, failure);
                return Vec::new();
            }
        };
        let refusals = actors.into_iter().zip(standings.into_iter().map(refusal));
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

    /// Takes those out of the messages' mentions who have a block between them and the sender.
    async fn check_mentioned(&self, mut messages: Vec<Candidate>) -> Vec<Candidate> {
        let mentioning = messages.iter().filter(|it| !it.mentions.is_empty());
        let people: HashSet<UserId> = mentioning
            .flat_map(|it| it.mentions.iter().chain([&it.job.entry.actor]).cloned())
            .collect();
        if people.is_empty() {
            return messages;
        }
        let blocks = match self.blocks_among(&people).await {
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

    /// Takes out the messages that answer something which isn't a message of the room.
    async fn check_answered(&self, room: &RoomId, messages: Vec<Candidate>) -> Vec<Candidate> {
        let answered: HashSet<u64> = messages
            .iter()
            .filter_map(|message| message.reply_to)
            .collect();
        if answered.is_empty() {
            return messages;
        }
        let known = self
            .messages_among(room, &answered)
            .await
            .map_err(StoreError::from);
        let mut admitted = Vec::with_capacity(messages.len());
        for message in messages {
            match (message.reply_to, &known) {
                (None, _) => admitted.push(message),
                (Some(seq), Ok(known)) if known.contains(&stored_seq(seq)) => {
                    admitted.push(message)
                }
                (Some(_), Ok(_)) => {
                    let refusal = StoreError::conflict("replyTo", "no such message in this room");
                    self.refuse(room, message, refusal).await;
                }
                (Some(_), Err(error)) => message.job.complete(Err(error.clone())),
            }
        }
        admitted
    }

    async fn messages_among(&self, room: &RoomId, seqs: &HashSet<u64>) -> Outcome<HashSet<i64>> {
        let mut filter = at_places(room, seqs.iter().copied());
        filter.insert("kind", Kind::Message.text());
        let found: Vec<EntryDocument> =
            all(self.collections().await?.room_log.find(filter)).await?;
        Ok(found.into_iter().map(|entry| entry.seq).collect())
    }

    /// Answers a message that can't be sent: what was sent stays sent, even if it couldn't be sent now.
    async fn refuse(&self, room: &RoomId, message: Candidate, refusal: StoreError) {
        let Candidate { job, name, .. } = message;
        let (Some(name), false) = (name, matches!(refusal, StoreError::NotFound)) else {
            return job.complete(Err(refusal));
        };
        let earlier = self
            .entries_by_name(room, &[name])
            .await
            .map(|mut entries| entries.pop());
        let result = match earlier {
            Ok(Some(earlier)) => self.duplicate(room, earlier, &job.entry.actor).await,
            Ok(None) => Err(refusal),
            Err(failure) => Err(failure.into()),
        };
        job.complete(result);
    }

    /// Gives each message a place, or the ending of one that was sent before. The second list holds rooms whose places
    /// didn't come from Redis.
    async fn place(&self, batches: Vec<RoomBatch>) -> (Vec<RoomBatch>, Vec<(RoomId, u64)>) {
        let sought: Vec<Sought> = batches.iter().map(|batch| self.seek(batch)).collect();
        let wants = batches.iter().zip(&sought).map(|(batch, sought)| Want {
            room: batch.room.clone(),
            head: Arc::clone(&batch.head),
            unnamed: batch.sendings.len() - sought.names.len() - sought.untold.len(),
            names: sought.names.iter().map(|(name, _)| name.clone()).collect(),
        });
        let wants: Vec<Want> = wants.collect();
        let (answers, degraded) = self.reserve(wants).await;
        let mut placed = Vec::with_capacity(batches.len());
        for ((mut batch, sought), answer) in batches.into_iter().zip(sought).zip(answers) {
            let used = match answer {
                Ok(got) => self.use_places(&mut batch, sought, got).await,
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = used {
                batch.fail(&failure.into());
            }
            placed.push(batch);
        }
        (placed, degraded)
    }

    /// What is to be asked of Redis about the names in a batch, and what needn't be.
    fn seek(&self, batch: &RoomBatch) -> Sought {
        let mut sought = Sought::default();
        for (index, sending) in batch.sendings.iter().enumerate() {
            let Some(name) = &sending.name else { continue };
            match self.shared.logs.sequencer.untold(&batch.room, name) {
                Some(seq) => sought.untold.push((seq, index)),
                None => sought.names.push((name.clone(), index)),
            }
        }
        sought
    }

    async fn use_places(&self, batch: &mut RoomBatch, sought: Sought, got: Got) -> Outcome<()> {
        let found = sought.names.iter().zip(&got.found);
        let mut earlier = sought.untold;
        earlier.extend(found.filter_map(|((_, index), seq)| Some(((*seq)?, *index))));
        let count = batch.sendings.len() - earlier.len();
        self.end_duplicates(batch, earlier).await?;
        // More than was asked for, if something was wrongly remembered.
        let missing = batch.undecided().count() - count;
        let more = match missing {
            0 => Vec::new(),
            _ => {
                self.reserve_beyond(&batch.room, &batch.head, missing)
                    .await?
            }
        };
        batch.place((got.first..).take(count).chain(more));
        Ok(())
    }

    /// Ends those of these messages that are where they are remembered to be.
    async fn end_duplicates(
        &self,
        batch: &mut RoomBatch,
        earlier: Vec<(u64, usize)>,
    ) -> Outcome<()> {
        if earlier.is_empty() {
            return Ok(());
        }
        let seqs = earlier.iter().map(|(seq, _)| *seq).collect();
        let standing = self.entries_at(&batch.room, seqs).await?;
        for (seq, index) in earlier {
            let Some(sending) = batch.sendings.get_mut(index) else {
                continue;
            };
            let here = standing.iter().find(|entry| entry.seq() == seq);
            let name = sending.name.as_ref();
            if let (Some(entry), Some(name)) = (here, name)
                && is_named(entry, name)
            {
                sending.ending = Some(Ending::Duplicate(Box::new(entry.clone())));
            }
        }
        Ok(())
    }

    /// Answers the messages of a room, in the order of their places.
    pub(super) async fn answer(&self, batch: RoomBatch) {
        let RoomBatch {
            room,
            head,
            sendings,
            ..
        } = batch;
        let mut answers = Vec::with_capacity(sendings.len());
        let mut written = Vec::new();
        let mut named = Vec::new();
        let counts = &self.shared.logs.counts;
        for sending in sendings {
            let Sending {
                job,
                followers,
                name,
                sender,
                entry,
                ending,
                ..
            } = sending;
            let result = match ending {
                Some(Ending::Stored) => {
                    counts.stored.add(1);
                    written.push(entry.seq());
                    named.extend(name.map(|name| (room.clone(), name, entry.seq())));
                    Ok(sent(message(entry, sender, &HashSet::new()), true))
                }
                Some(Ending::Duplicate(earlier)) => {
                    counts.duplicates.add(1);
                    named.extend(name.map(|name| (room.clone(), name, earlier.seq())));
                    self.duplicate(&room, *earlier, &job.entry.actor).await
                }
                Some(Ending::Failed(error)) => {
                    counts.failed.add(1);
                    Err(error)
                }
                None => Err(StoreError::internal("a message without an ending")),
            };
            answers.push((result, job, followers));
        }
        self.written(&room, &head, &written);
        self.shared.logs.sequencer.remember(&named);
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
        if !named.is_empty() {
            let store = self.clone();
            tokio::spawn(async move { store.shared.logs.sequencer.tell(named).await });
        }
    }

    /// The answer to a message whose name is that of an earlier one.
    async fn duplicate(
        &self,
        room: &RoomId,
        earlier: EntryDocument,
        actor: &UserId,
    ) -> Result<Appended, StoreError> {
        let shown = self.shown(room, vec![earlier], Some(actor)).await?.pop();
        let shown = shown.ok_or_else(|| StoreError::internal("a duplicate has no original"))?;
        Ok(sent(shown, false))
    }
}

/// Why somebody can't write to a room at all.
fn refusal(standing: Standing) -> Option<StoreError> {
    match standing.role {
        None => Some(StoreError::NotFound),
        Some(_) if standing.blocked => Some(StoreError::Forbidden),
        Some(_) => None,
    }
}

fn fail(jobs: impl IntoIterator<Item = Job>, failure: Failure) {
    let error = StoreError::from(failure);
    for job in jobs {
        job.complete(Err(error.clone()));
    }
}

/// The names in a batch, each with the number of its message.
#[derive(Default)]
struct Sought {
    /// Redis is to be asked for these.
    names: Vec<(Name, usize)>,
    /// Those of a moment ago, with the places of their messages.
    untold: Vec<(u64, usize)>,
}

fn sent(message: StoredMessage, recorded: bool) -> Appended {
    let event = StoredEvent {
        room_id: message.room_id.clone(),
        seq: message.seq,
        occurrence: Occurrence::Sent(message),
    };
    Appended { event, recorded }
}
