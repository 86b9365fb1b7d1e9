//! Counts unread messages. It reads the index alone.

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use protocol::{RoomId, UserId, limits::SEQ_MAX};
use serde::Deserialize;

use super::super::super::unread::{NEWEST, NewestMessages, UNREAD_MAX};
use super::super::collections::log_order;
use super::super::database::Database;
use super::super::failure::Outcome;
use super::super::query::all;
use super::VisibleHeads;
use super::entries::messages_between;
use crate::StoreError;

/// Rooms that are counted in at once.
const AT_ONCE: usize = 16;

/// Counts unread messages. Cloning shares it.
#[derive(Clone)]
pub struct Unread {
    database: Database,
    heads: VisibleHeads,
}

impl Unread {
    pub fn new(database: &Database, heads: &VisibleHeads) -> Self {
        Self {
            database: database.clone(),
            heads: heads.clone(),
        }
    }

    pub async fn unread_for(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, u64)>, StoreError> {
        let head = self.heads.of(room).await?;
        let readers = self.readers(room, users).await?;
        let Some(first) = readers.iter().map(|reader| reader.read_seq()).min() else {
            return Ok(Vec::new());
        };
        let visible = self.heads.read(room, &head).await?;
        let newest = self.newest(room, first, visible).await?;
        Ok(readers
            .into_iter()
            .map(|reader| {
                let unread = newest.unread(&reader.user_id, reader.read_seq());
                (reader.user_id, unread)
            })
            .collect())
    }

    /// What one user hasn't read of rooms that exist, each with the user's `readSeq`; in their order.
    pub async fn unread_in(&self, user: &UserId, rooms: &[(RoomId, u64)]) -> Outcome<Vec<u64>> {
        let mut counting = Vec::with_capacity(rooms.len());
        for (room, read_seq) in rooms {
            counting.push(self.count_unread(user, room, *read_seq));
        }
        stream::iter(counting).buffered(AT_ONCE).try_collect().await
    }

    async fn count_unread(&self, user: &UserId, room: &RoomId, read_seq: u64) -> Outcome<u64> {
        #[derive(Deserialize)]
        struct Counted {
            unread: i64,
        }
        // Also what stands above a gap: it is there for good, and will be seen.
        let pipeline = [
            doc! { "$match": messages_between(room, read_seq, SEQ_MAX) },
            doc! { "$sort": { "seq": -1 } },
            doc! { "$limit": i64::from(NEWEST) },
            doc! { "$match": { "deletedSeq": null, "senderId": { "$ne": user.as_str() } } },
            doc! { "$limit": stored(UNREAD_MAX) },
            doc! { "$count": "unread" },
        ];
        let counted: Vec<Counted> = all(self
            .database
            .collections()
            .await?
            .room_log
            .aggregate(pipeline)
            .with_type::<Counted>()
            .hint(Hint::Keys(log_order())))
        .await?;
        Ok(counted
            .first()
            .map_or(0, |counted| counted.unread.unsigned_abs()))
    }

    /// Those of these users who are members, and how far they have read.
    async fn readers(&self, room: &RoomId, users: &[UserId]) -> Outcome<Vec<Reader>> {
        let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let collections = self.database.collections().await?;
        let members = collections.members.clone_with_type::<Reader>();
        let find = members
            .find(doc! { "roomId": room.as_str(), "userId": { "$in": users } })
            .projection(doc! { "_id": 0, "userId": 1, "readSeq": 1 });
        all(find).await
    }

    /// The newest messages of a room behind `after`, up to `visible`.
    async fn newest(
        &self,
        room: &RoomId,
        after: u64,
        visible: u64,
    ) -> Outcome<NewestMessages<UserId>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Sent {
            seq: i64,
            sender_id: UserId,
            #[serde(default)]
            deleted_seq: Option<i64>,
        }
        let projection: Document = doc! { "_id": 0, "seq": 1, "senderId": 1, "deletedSeq": 1 };
        let log = self
            .database
            .collections()
            .await?
            .room_log
            .clone_with_type::<Sent>();
        let find = log
            .find(messages_between(room, after, visible + 1))
            .sort(doc! { "seq": -1 })
            .limit(i64::from(NEWEST))
            .projection(projection)
            .hint(Hint::Keys(log_order()));
        let sent: Vec<Sent> = all(find).await?;
        let kept = sent
            .into_iter()
            .filter(|message| message.deleted_seq.is_none());
        Ok(NewestMessages::new(kept.map(|message| {
            (message.seq.unsigned_abs(), message.sender_id)
        })))
    }
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reader {
    user_id: UserId,
    read_seq: i64,
}

impl Reader {
    fn read_seq(&self) -> u64 {
        self.read_seq.unsigned_abs()
    }
}
