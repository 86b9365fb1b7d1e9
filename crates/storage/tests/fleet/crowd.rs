//! Users who write to the same rooms by way of several stores, whatever happens to the servers, and a check of all that
//! they were told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::{RoomId, UserId};
use storage::{Appended, Change, EventBody, MessageStore, StoreError, StoredEvent};

use crate::fixture::{append, log, room, send, start, users};
use crate::patience::eventually;

const USERS: usize = 12;
const ROOMS: usize = 4;

/// Messages that a user sends at once, without waiting.
const BURST: usize = 8;

/// The crowd, while it writes.
pub(crate) struct Crowd {
    stores: Vec<MessageStore>,
    rooms: Vec<RoomId>,
    stop: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<Writer>>,
    readers: Vec<tokio::task::JoinHandle<u64>>,
}

/// What a store said.
struct Acked {
    room: RoomId,
    seq: u64,
    what: What,
}

enum What {
    Sent { client_id: String },
    Edited { of: u64 },
    Deleted { of: u64 },
    Reacted { of: u64, on: bool },
}

struct Writer {
    store: MessageStore,
    user: UserId,
    rooms: Vec<RoomId>,
    stop: Arc<AtomicBool>,
    acked: Vec<Acked>,
    /// The `seq`s of messages that were acked at the first try, in the order of sending, by room.
    in_order: HashMap<RoomId, Vec<u64>>,
    unavailable: usize,
}

impl Crowd {
    /// Lets users write, in turn by each of the stores, and readers follow every room on every store.
    pub(crate) async fn start(stores: &[MessageStore]) -> Self {
        let users = users(&stores[0], USERS).await;
        let mut rooms = Vec::new();
        for _ in 0..ROOMS {
            rooms.push(room(&stores[0], &users).await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers = users.into_iter().enumerate().map(|(number, user)| {
            let writer = Writer {
                store: stores[number % stores.len()].clone(),
                user,
                rooms: rooms.clone(),
                stop: Arc::clone(&stop),
                acked: Vec::new(),
                in_order: HashMap::new(),
                unavailable: 0,
            };
            tokio::spawn(writer.write())
        });
        let writers = writers.collect();
        let mut readers = Vec::new();
        for store in stores {
            for room in &rooms {
                let (store, room, stop) = (store.clone(), room.clone(), Arc::clone(&stop));
                readers.push(tokio::spawn(read(store, room, stop)));
            }
        }
        Self {
            stores: stores.to_vec(),
            rooms,
            stop,
            writers,
            readers,
        }
    }

    pub(crate) fn rooms(&self) -> &[RoomId] {
        &self.rooms
    }

    /// Waits until so many more events are seen in every room.
    pub(crate) async fn go_on(&self, events: u64) {
        for room in &self.rooms {
            let store = &self.stores[0];
            let head = async || store.head(room).await.ok().map(|head| head.seq);
            let from = eventually("a head", head).await;
            eventually("more events", async || {
                head().await.filter(|head| *head >= from + events)
            })
            .await;
        }
    }

    /// Stops everybody and checks what they were told against what every store, and `fresh`, shows. Returns how many
    /// times a store was unavailable.
    pub(crate) async fn check(self, fresh: &MessageStore) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut writers = Vec::new();
        for writer in self.writers {
            writers.push(writer.await.unwrap());
        }
        let mut heads = Vec::new();
        for reader in self.readers {
            heads.push(reader.await.unwrap());
        }
        for (number, room) in self.rooms.iter().enumerate() {
            let last = writers.iter().flat_map(|writer| &writer.acked);
            let last = last
                .filter(|acked| acked.room == *room)
                .map(|acked| acked.seq)
                .max()
                .unwrap();
            // What was acked may stand above a gap for a moment.
            for store in self.stores.iter().chain([fresh]) {
                eventually("the head", async || {
                    store.head(room).await.ok().filter(|head| head.seq >= last)
                })
                .await;
            }
            let events = log(fresh, room).await;
            for store in &self.stores {
                let others = log(store, room).await;
                let both = events.len().min(others.len());
                assert_eq!(events[..both], others[..both]);
            }
            for head in heads.iter().skip(number).step_by(ROOMS) {
                assert!(*head <= events.len() as u64);
            }
            check_events(room, &events, &writers);
            check_state(fresh, room, &events).await;
        }
        writers.iter().map(|writer| writer.unavailable).sum()
    }
}

/// Every acked event is where it was said to be, and none is there twice.
fn check_events(room: &RoomId, events: &[StoredEvent], writers: &[Writer]) {
    let mut names = HashSet::new();
    for event in events {
        if let EventBody::Sent(message) = &event.body {
            let name = (message.sender.id.clone(), message.client_id.clone());
            assert!(names.insert(name), "{event:?} is there twice");
        }
    }
    for writer in writers {
        for acked in writer.acked.iter().filter(|acked| acked.room == *room) {
            let event = &events[acked.seq as usize - 1];
            let is_it = match (&acked.what, &event.body) {
                (What::Sent { client_id }, EventBody::Sent(message)) => {
                    message.client_id.as_ref() == Some(client_id)
                        && message.sender.id == writer.user
                }
                (What::Edited { of }, EventBody::Edited { of: edited, .. }) => of == edited,
                (What::Deleted { of }, EventBody::Deleted { of: deleted }) => of == deleted,
                (
                    What::Reacted { of, on },
                    EventBody::Reacted {
                        of: reacted,
                        user_id,
                        on: is_on,
                        ..
                    },
                ) => (of, on, &writer.user) == (reacted, is_on, user_id),
                _ => false,
            };
            assert!(is_it, "{event:?} isn't what {} was told", writer.user);
        }
        let order = writer.in_order.get(room).map_or(&[][..], Vec::as_slice);
        assert!(
            order.is_sorted(),
            "{} is out of order: {order:?}",
            writer.user
        );
    }
}

/// The messages are as the log says.
async fn check_state(store: &MessageStore, room: &RoomId, events: &[StoredEvent]) {
    let mut deleted = HashSet::new();
    let mut edited = HashSet::new();
    let mut reactions: HashMap<u64, BTreeMap<String, HashSet<UserId>>> = HashMap::new();
    for event in events {
        match &event.body {
            EventBody::Sent(_) | EventBody::Processed { .. } | EventBody::Tombstone => {}
            EventBody::Edited { of, .. } => drop(edited.insert(*of)),
            EventBody::Deleted { of } => {
                assert!(deleted.insert(*of), "{of} is deleted twice");
                reactions.remove(of);
            }
            EventBody::Reacted {
                of,
                emoji,
                user_id,
                on,
            } => {
                assert!(!deleted.contains(of));
                let users = reactions
                    .entry(*of)
                    .or_default()
                    .entry(emoji.clone())
                    .or_default();
                let changed = if *on {
                    users.insert(user_id.clone())
                } else {
                    users.remove(user_id)
                };
                assert!(changed, "{event:?} changes nothing");
            }
        }
    }
    for event in events {
        let EventBody::Sent(message) = &event.body else {
            continue;
        };
        let message = store.message(room, message.seq, None).await.unwrap();
        assert_eq!(message.deleted_at.is_some(), deleted.contains(&message.seq));
        if message.deleted_at.is_none() {
            assert_eq!(message.edited_at.is_some(), edited.contains(&message.seq));
        }
        let shown: BTreeMap<String, usize> = message
            .reactions
            .into_iter()
            .map(|reaction| (reaction.emoji, reaction.count as usize))
            .collect();
        let wanted = reactions
            .remove(&message.seq)
            .unwrap_or_default()
            .into_iter();
        let wanted: BTreeMap<String, usize> = wanted
            .map(|(emoji, users)| (emoji, users.len()))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(shown, wanted, "message {}", message.seq);
    }
}

/// Follows a room as long as anybody writes. Returns how far it came.
async fn read(store: MessageStore, room: RoomId, stop: Arc<AtomicBool>) -> u64 {
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(page) = store.events(&room, last, u64::MAX, 100, None).await {
            for event in page.items {
                assert_eq!(event.seq, last + 1);
                last = event.seq;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    last
}

impl Writer {
    async fn write(mut self) -> Self {
        let mut mine: Vec<(RoomId, u64)> = Vec::new();
        for round in 0_usize.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let room = self.rooms[round % self.rooms.len()].clone();
            let own = mine
                .iter()
                .rev()
                .find(|(own, _)| *own == room)
                .map(|(_, seq)| *seq);
            match (round % 11, own) {
                (3 | 7, Some(of)) => {
                    let body = format!("edited in round {round}");
                    self.change(&room, Change::Edit { of, body }, What::Edited { of })
                        .await;
                }
                (4 | 5, Some(of)) => {
                    let on = round % 11 == 4;
                    // A message that others react to as well.
                    let of = of.min(3);
                    let emoji = "👍".to_owned();
                    let change = Change::React { of, emoji, on };
                    self.change(&room, change, What::Reacted { of, on }).await;
                }
                (9, Some(of)) if of > 3 => {
                    let delete = Change::Delete {
                        of,
                        moderator: false,
                    };
                    self.change(&room, delete, What::Deleted { of }).await;
                    mine.retain(|own| *own != (room.clone(), of));
                }
                (6, _) => {
                    let names: Vec<String> = (0..BURST)
                        .map(|number| format!("{round}-{number}"))
                        .collect();
                    let seqs = self.send(&room, &names).await;
                    mine.extend(seqs.into_iter().map(|seq| (room.clone(), seq)));
                }
                _ => {
                    let seqs = self.send(&room, &[round.to_string()]).await;
                    mine.extend(seqs.into_iter().map(|seq| (room.clone(), seq)));
                }
            }
        }
        self
    }

    /// Sends messages at once, and each again until it is acked.
    async fn send(&mut self, room: &RoomId, names: &[String]) -> Vec<u64> {
        let sending: Vec<_> = names
            .iter()
            .map(|name| start(&self.store, room, &self.user, send(name, "hello")))
            .collect();
        let mut seqs = Vec::new();
        for (name, sent) in names.iter().zip(sending) {
            let seq = match sent.await.unwrap() {
                Ok(appended) => {
                    let seq = appended.event.seq;
                    self.in_order.entry(room.clone()).or_default().push(seq);
                    seq
                }
                Err(error) => {
                    self.must_be_passing(&error);
                    self.send_again(room, name).await
                }
            };
            self.acked.push(Acked {
                room: room.clone(),
                seq,
                what: What::Sent {
                    client_id: name.clone(),
                },
            });
            seqs.push(seq);
        }
        seqs
    }

    async fn send_again(&mut self, room: &RoomId, name: &str) -> u64 {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match append(&self.store, room, &self.user, send(name, "hello")).await {
                Ok(Appended { event, .. }) => return event.seq,
                Err(error) => self.must_be_passing(&error),
            }
        }
    }

    /// Changes something, once: whether a change that wasn't acked was recorded isn't known.
    async fn change(&mut self, room: &RoomId, change: Change, what: What) {
        match append(&self.store, room, &self.user, change).await {
            Ok(Appended {
                event,
                recorded: true,
                ..
            }) => self.acked.push(Acked {
                room: room.clone(),
                seq: event.seq,
                what,
            }),
            Ok(_) => {}
            // A deletion that wasn't acked.
            Err(StoreError::Conflict { .. } | StoreError::NotFound) => {}
            Err(error) => self.must_be_passing(&error),
        }
    }

    fn must_be_passing(&mut self, error: &StoreError) {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        self.unavailable += 1;
    }
}
