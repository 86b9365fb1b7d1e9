//! What a writer of a log must know of users and rooms, remembered for seconds so that a message costs no read. Each
//! change that this process makes, or hears of from the bus, is asked for anew (see `recent.rs`).

mod of_user;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use protocol::{Epoch, RoomId, RoomKind, RoomRole, Sender, UserId};
use serde::Deserialize;

use super::MongoStore;
use super::collections::all;
use super::failure::Outcome;
use super::recent::{LIFE, Marks, Recent, Seen, Thing};
use super::rooms::RoomDocument;
use super::users::DELETED;
use super::values::texts;
use crate::StoreError;

/// What somebody is to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Of the room.
    pub kind: RoomKind,
    /// Absent for who isn't a member.
    pub role: Option<RoomRole>,
    /// Whether it is a direct room and one of the two has blocked the other. Not looked at for who isn't a member.
    pub blocked: bool,
}

/// What doesn't change while a room exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoomFacts {
    pub kind: RoomKind,
    pub epoch: Epoch,
    /// The two of a direct room, the smaller id first.
    pub pair: Option<(UserId, UserId)>,
}

impl RoomFacts {
    fn new(document: RoomDocument) -> Self {
        Self {
            kind: document.kind,
            epoch: Epoch::new(document.epoch),
            pair: document.pair,
        }
    }
}

/// A user as others see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub display_name: Arc<str>,
    pub guest: bool,
    pub deleted: bool,
}

/// What is remembered.
pub(super) struct Memory {
    marks: Marks,
    rooms: Recent<RoomId, Arc<RoomFacts>>,
    roles: Recent<(RoomId, UserId), RoomRole>,
    blocks: Recent<RoomId, bool>,
    people: Recent<UserId, Person>,
    counts: Recent<RoomId, Count>,
}

/// The members of a room, counted.
#[derive(Clone, Copy)]
struct Count {
    members: u64,
    /// Without what says who came and went.
    room: Seen,
}

/// Where a room is so big that one who comes or goes doesn't make its members be counted anew: up to here that takes
/// a millisecond.
const BIG: u64 = 1_000;

/// How much longer the count of a big room is believed by the others while one counts anew.
const COUNTING: Duration = Duration::from_secs(3);

impl Memory {
    /// Sized for what one instance serves: some tens of megabytes when full.
    pub(super) fn new() -> Self {
        Self {
            marks: Marks::new(),
            rooms: Recent::new(50_000),
            roles: Recent::new(200_000),
            blocks: Recent::new(50_000),
            people: Recent::new(100_000),
            counts: Recent::new(50_000),
        }
    }

    /// The role that is remembered, or what to keep one with that is read now.
    fn role(&self, room: &RoomId, user: &UserId) -> Result<RoomRole, Seen> {
        let key = (room.clone(), user.clone());
        self.roles.get(&key, &self.marks).ok_or_else(|| {
            self.marks.see([
                Thing::Member(room, user),
                Thing::Room(room),
                Thing::User(user),
            ])
        })
    }

    fn see_room(&self, room: &RoomId) -> Seen {
        self.marks
            .see([Thing::Room(room), Thing::Room(room), Thing::Room(room)])
    }

    /// Of a room's count, if it is believable.
    fn count(&self, room: &RoomId) -> Option<u64> {
        let kept = self.counts.kept(room)?;
        let members = kept.value.members;
        if members < BIG {
            let fresh = kept.seen.at.elapsed() < LIFE && self.marks.unchanged(kept.seen);
            return fresh.then_some(members);
        }
        if !self.marks.unchanged(kept.value.room) {
            return None;
        }
        if kept.seen.at.elapsed() < LIFE {
            return Some(members);
        }
        // This one counts; the others go on with what there is, so that they don't all count at once.
        let mut seen = kept.seen;
        if let Some(at) = std::time::Instant::now().checked_sub(LIFE - COUNTING) {
            seen.at = at;
            self.counts.put(room.clone(), kept.value, seen);
        }
        None
    }
}

impl MongoStore {
    /// What somebody is to a room; up to ten seconds old where the bus is down. `NotFound` if there is no such room.
    pub(super) async fn standing(&self, room: &RoomId, user: &UserId) -> Outcome<Standing> {
        let standings = self.standings(room, std::slice::from_ref(user)).await?;
        let standing = standings.into_iter().next();
        Ok(standing.ok_or_else(|| StoreError::internal("nobody was asked about"))?)
    }

    /// What several are to a room, in the order of `users`.
    pub(super) async fn standings(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Outcome<Vec<Standing>> {
        let facts = self.room_facts(room).await?;
        let roles = self.roles(room, users).await?;
        let blocked = match &facts.pair {
            Some(pair) if !roles.is_empty() => self.is_blocked_between(room, pair).await?,
            _ => false,
        };
        let standing = |user| {
            let role = roles.get(user).copied();
            Standing {
                kind: facts.kind,
                role,
                blocked: blocked && role.is_some(),
            }
        };
        Ok(users.iter().map(standing).collect())
    }

    /// Of a room that exists. `NotFound` if there is no such room.
    pub(super) async fn room_facts(&self, room: &RoomId) -> Outcome<Arc<RoomFacts>> {
        let memory = &self.shared.memory;
        if let Some(facts) = memory.rooms.get(room, &memory.marks) {
            return Ok(facts);
        }
        let seen = memory.see_room(room);
        let document = self.room_document(room).await?;
        let facts = Arc::new(RoomFacts::new(document));
        memory.rooms.put(room.clone(), Arc::clone(&facts), seen);
        Ok(facts)
    }

    /// The roles in a room of those of these users who are members. That somebody isn't one is never remembered: who
    /// joined by way of another instance may write at once. One read for all who aren't remembered: a crowd that
    /// writes at once is looked up at once, every ten seconds.
    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Outcome<HashMap<UserId, RoomRole>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            user_id: UserId,
            role: RoomRole,
        }
        let memory = &self.shared.memory;
        let mut roles = HashMap::with_capacity(users.len());
        let mut missing = HashMap::new();
        for user in users {
            match memory.role(room, user) {
                Ok(role) => drop(roles.insert(user.clone(), role)),
                Err(seen) => drop(missing.insert(user.clone(), seen)),
            }
        }
        if missing.is_empty() {
            return Ok(roles);
        }
        let members = self
            .collections()
            .await?
            .members
            .clone_with_type::<Member>();
        let wanted = texts(missing.keys());
        let find = members
            .find(doc! { "roomId": room.as_str(), "userId": { "$in": wanted } })
            .projection(doc! { "_id": 0, "userId": 1, "role": 1 });
        for Member { user_id, role } in all(find).await? {
            if let Some(seen) = missing.remove(&user_id) {
                memory
                    .roles
                    .put((room.clone(), user_id.clone()), role, seen);
            }
            roles.insert(user_id, role);
        }
        Ok(roles)
    }

    /// Whether a block stands between the two of a direct room.
    pub(super) async fn is_blocked_between(
        &self,
        room: &RoomId,
        pair: &(UserId, UserId),
    ) -> Outcome<bool> {
        let memory = &self.shared.memory;
        if let Some(blocked) = memory.blocks.get(room, &memory.marks) {
            return Ok(blocked);
        }
        let (low, high) = pair;
        let seen = memory
            .marks
            .see([Thing::User(low), Thing::User(high), Thing::Room(room)]);
        let blocked = self.is_between(low, std::slice::from_ref(high)).await?;
        memory.blocks.put(room.clone(), blocked, seen);
        Ok(blocked)
    }

    /// Users as the senders of what they wrote, in the order of `ids`; deleted and unknown ones are called "deleted".
    pub(super) async fn senders(&self, ids: &[UserId]) -> Outcome<Vec<Sender>> {
        let people = self.people(ids).await?;
        let sender = |id: &UserId| {
            let person = people.get(id);
            Sender {
                id: id.clone(),
                display_name: person
                    .map_or(DELETED, |person| &person.display_name)
                    .to_owned(),
                guest: person.is_some_and(|person| person.guest),
            }
        };
        Ok(ids.iter().map(sender).collect())
    }

    /// Users by their ids, also deleted ones. Who never existed is left out.
    pub(super) async fn people(&self, ids: &[UserId]) -> Outcome<HashMap<UserId, Person>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            #[serde(rename = "_id")]
            id: UserId,
            display_name: String,
            guest: bool,
            deleted_at: Option<DateTime>,
        }
        let memory = &self.shared.memory;
        let mut people = HashMap::with_capacity(ids.len());
        let mut missing = HashMap::new();
        for id in ids {
            if let Some(person) = memory.people.get(id, &memory.marks) {
                people.insert(id.clone(), person);
            } else {
                let seen = memory
                    .marks
                    .see([Thing::User(id), Thing::User(id), Thing::User(id)]);
                missing.insert(id.clone(), seen);
            }
        }
        if missing.is_empty() {
            return Ok(people);
        }
        let users = &self.collections().await?.users;
        let users = users.clone_with_type::<Found>();
        let find = users
            .find(doc! { "_id": { "$in": texts(missing.keys()) } })
            .projection(doc! { "displayName": 1, "guest": 1, "deletedAt": 1 });
        for user in all(find).await? {
            let person = Person {
                display_name: user.display_name.into(),
                guest: user.guest,
                deleted: user.deleted_at.is_some(),
            };
            if let Some(seen) = missing.remove(&user.id) {
                memory.people.put(user.id.clone(), person.clone(), seen);
            }
            people.insert(user.id, person);
        }
        Ok(people)
    }

    /// `NotFound` unless there is such a user.
    pub(super) async fn must_be_user(&self, id: &UserId) -> Outcome<()> {
        let people = self.people(std::slice::from_ref(id)).await?;
        match people.get(id) {
            Some(person) if !person.deleted => Ok(()),
            _ => Err(StoreError::NotFound.into()),
        }
    }

    /// How many members rooms have. Counted from the members, so that nothing can put it wrong for good, and
    /// remembered: a stored number would be one document that all who join at once wait for. Of a room with a thousand
    /// or more it is up to thirteen seconds old.
    pub(super) async fn member_counts(&self, rooms: &[RoomId]) -> Outcome<HashMap<RoomId, u64>> {
        #[derive(Deserialize)]
        struct Counted {
            #[serde(rename = "_id")]
            room: RoomId,
            members: i64,
        }
        let memory = &self.shared.memory;
        let mut counts = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            if let Some(members) = memory.count(room) {
                counts.insert(room.clone(), members);
            } else {
                let crowd =
                    memory
                        .marks
                        .see([Thing::Room(room), Thing::Crowd(room), Thing::Crowd(room)]);
                missing.insert(room.clone(), (crowd, memory.see_room(room)));
            }
        }
        if missing.is_empty() {
            return Ok(counts);
        }
        let wanted: Vec<&str> = missing.keys().map(RoomId::as_str).collect();
        let pipeline: [Document; 2] = [
            doc! { "$match": { "roomId": { "$in": wanted } } },
            doc! { "$group": { "_id": "$roomId", "members": { "$sum": 1i64 } } },
        ];
        let members = &self.collections().await?.members;
        let found: Vec<Counted> = all(members.aggregate(pipeline).with_type::<Counted>()).await?;
        let mut found: HashMap<RoomId, u64> = found
            .into_iter()
            .map(|counted| (counted.room, counted.members.unsigned_abs()))
            .collect();
        for (id, (crowd, room)) in missing {
            let members = found.remove(&id).unwrap_or(0);
            memory
                .counts
                .put(id.clone(), Count { members, room }, crowd);
            counts.insert(id, members);
        }
        Ok(counts)
    }

    /// What this user is to this room has changed.
    pub fn forget_member(&self, room: &RoomId, user: &UserId) {
        let marks = &self.shared.memory.marks;
        marks.changed(&Thing::Member(room, user));
        marks.changed(&Thing::Crowd(room));
    }

    /// This room has changed.
    pub fn forget_room(&self, room: &RoomId) {
        let marks = &self.shared.memory.marks;
        marks.changed(&Thing::Room(room));
        marks.changed(&Thing::Crowd(room));
    }

    /// The name, the blocks or the account of this user have changed.
    pub fn forget_user(&self, user: &UserId) {
        self.shared.memory.marks.changed(&Thing::User(user));
    }

    /// Changes may have been missed.
    pub fn forget_everything(&self) {
        self.shared.memory.marks.changed(&Thing::Everything);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room whose members were counted `ago`.
    fn counted(memory: &Memory, room: &RoomId, members: u64, ago: Duration) {
        let things = [Thing::Room(room), Thing::Crowd(room), Thing::Crowd(room)];
        let (mut seen, room_seen) = (memory.marks.see(things), memory.see_room(room));
        seen.at = seen.at.checked_sub(ago).unwrap();
        let count = Count {
            members,
            room: room_seen,
        };
        memory.counts.put(room.clone(), count, seen);
    }

    #[test]
    fn a_small_room_is_counted_anew_when_somebody_comes_or_goes() {
        let (memory, room) = (Memory::new(), RoomId::trusted("room"));
        counted(&memory, &room, 999, Duration::ZERO);
        assert_eq!(memory.count(&room), Some(999));
        memory.marks.changed(&Thing::Crowd(&room));
        assert_eq!(memory.count(&room), None);
        counted(&memory, &room, 999, LIFE);
        assert_eq!(memory.count(&room), None);
    }

    #[test]
    fn a_big_room_is_counted_anew_by_one_at_a_time() {
        let (memory, room) = (Memory::new(), RoomId::trusted("room"));
        counted(&memory, &room, 1_000, Duration::ZERO);
        memory.marks.changed(&Thing::Crowd(&room));
        assert_eq!(memory.count(&room), Some(1_000));
        counted(&memory, &room, 1_000, LIFE);
        assert_eq!(memory.count(&room), None, "the first counts");
        assert_eq!(memory.count(&room), Some(1_000), "the others don't");
        memory.marks.changed(&Thing::Room(&room));
        assert_eq!(memory.count(&room), None);
    }
}
