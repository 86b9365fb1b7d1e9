//! How many members rooms have. Counted from the members, so that nothing can make it wrong for good, and cached: a
//! stored number would be one document that all who join at once wait for. The count of a room with a thousand members
//! or more is up to thirteen seconds old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use protocol::RoomId;
use serde::Deserialize;

use super::super::database::Database;
use super::super::failure::Outcome;
use super::super::query::all;
use super::cache::{Cache, Invalidations, LIFE, Stamp, Subject};

/// Rooms in memory at most.
const CAPACITY: usize = 50_000;

/// Members from which on a room isn't counted anew because somebody came or went: up to here that takes a millisecond.
const BIG: u64 = 1_000;

/// How much longer the count of a big room is valid for the others while one request counts anew.
const COUNTING: Duration = Duration::from_secs(3);

/// The members of a room, counted.
#[derive(Clone, Copy)]
struct Count {
    members: u64,
    /// A stamp of the room alone, without the list of its members.
    room: Stamp,
}

/// Counts members. Cloning shares it.
#[derive(Clone)]
pub struct MemberCounts {
    database: Database,
    cache: Arc<Cache<RoomId, Count>>,
}

impl MemberCounts {
    pub fn new(database: &Database, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            database: database.clone(),
            cache: Arc::new(Cache::new(CAPACITY, invalidations)),
        }
    }

    /// The numbers of members of these rooms.
    pub async fn of(&self, rooms: &[RoomId]) -> Outcome<HashMap<RoomId, u64>> {
        #[derive(Deserialize)]
        struct Counted {
            #[serde(rename = "_id")]
            room: RoomId,
            members: i64,
        }
        let mut counts = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            if let Some(members) = valid(&self.cache, room) {
                counts.insert(room.clone(), members);
            } else {
                missing.insert(room.clone(), stamps(&self.cache, room));
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
        let members = &self.database.collections().await?.members;
        let found: Vec<Counted> = all(members.aggregate(pipeline).with_type::<Counted>()).await?;
        let mut found: HashMap<RoomId, u64> = found
            .into_iter()
            .map(|counted| (counted.room, counted.members.unsigned_abs()))
            .collect();
        for (id, (list, room)) in missing {
            let members = found.remove(&id).unwrap_or(0);
            self.cache.put(id.clone(), Count { members, room }, list);
            counts.insert(id, members);
        }
        Ok(counts)
    }
}

/// Stamps of a room with the list of its members, and without.
fn stamps(cache: &Cache<RoomId, Count>, room: &RoomId) -> (Stamp, Stamp) {
    let (own, list) = (|| Subject::Room(room), || Subject::Members(room));
    let with_list = cache.stamp([own(), list(), list()]);
    (with_list, cache.stamp([own(), own(), own()]))
}

/// The count of a room, if it is valid.
fn valid(cache: &Cache<RoomId, Count>, room: &RoomId) -> Option<u64> {
    let entry = cache.entry(room)?;
    let members = entry.value.members;
    let is_young = entry.stamp.at.elapsed() < LIFE;
    if members < BIG {
        return (is_young && cache.is_current(entry.stamp)).then_some(members);
    }
    if !cache.is_current(entry.value.room) {
        return None;
    }
    if is_young {
        return Some(members);
    }
    // This request counts; the others go on with the old number, so that they don't all count at once.
    let mut stamp = entry.stamp;
    if let Some(at) = Instant::now().checked_sub(LIFE - COUNTING) {
        stamp.at = at;
        cache.put(room.clone(), entry.value, stamp);
    }
    None
}

#[cfg(test)]
mod tests {
    use protocol::UserId;

    use super::*;

    fn fixture() -> (Arc<Invalidations>, Cache<RoomId, Count>, RoomId) {
        let invalidations = Arc::new(Invalidations::new());
        let cache = Cache::new(10, &invalidations);
        (invalidations, cache, RoomId::trusted("room"))
    }

    /// A room whose members were counted `ago`.
    fn counted(cache: &Cache<RoomId, Count>, room: &RoomId, members: u64, ago: Duration) {
        let (mut list, own) = stamps(cache, room);
        list.at = list.at.checked_sub(ago).unwrap();
        let count = Count { members, room: own };
        cache.put(room.clone(), count, list);
    }

    #[test]
    fn a_small_room_is_counted_anew_when_somebody_comes_or_goes() {
        let (invalidations, cache, room) = fixture();
        let ann = UserId::trusted("ann");
        counted(&cache, &room, 999, Duration::ZERO);
        assert_eq!(valid(&cache, &room), Some(999));
        invalidations.membership(&room, &ann);
        assert_eq!(valid(&cache, &room), None);
        counted(&cache, &room, 999, LIFE);
        assert_eq!(valid(&cache, &room), None);
    }

    #[test]
    fn a_big_room_is_counted_anew_by_one_at_a_time() {
        let (invalidations, cache, room) = fixture();
        let ann = UserId::trusted("ann");
        counted(&cache, &room, 1_000, Duration::ZERO);
        invalidations.membership(&room, &ann);
        assert_eq!(valid(&cache, &room), Some(1_000));
        counted(&cache, &room, 1_000, LIFE);
        assert_eq!(valid(&cache, &room), None, "the first counts");
        assert_eq!(valid(&cache, &room), Some(1_000), "the others don't");
        invalidations.room(&room);
        assert_eq!(valid(&cache, &room), None);
    }
}
