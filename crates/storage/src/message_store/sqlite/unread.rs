//! How much of a room somebody hasn't read: messages of others after their `readSeq` that aren't
//! deleted. Counting is bounded, so that a room left alone for a year costs no more than one left
//! for a day.

use super::SqliteStore;
use super::UNREAD_MAX;
use super::columns::{room_no, user_id};
use super::entry::{entry, seq_of};
use crate::StoreError;
use crate::sqlite::Outcome;
use protocol::{RoomId, UserId};
use rusqlite::Connection;
use std::collections::HashMap;

/// How many of the newest messages are looked at, one's own among them.
const LOOKED_AT: u64 = 10_000;

/// The number of unread messages of member `m` of room `r`, as an expression; `unread_for` counts
/// the same, within the same two bounds.
macro_rules! unread {
    () => {
        "(SELECT count(*) FROM (
            SELECT 1 FROM (
                SELECT sender FROM messages
                WHERE entry > (r.no << 32 | m.read_seq) AND entry < (r.no + 1) << 32
                    AND deleted_at IS NULL
                ORDER BY entry DESC LIMIT 10000
            )
            WHERE sender <> m.user LIMIT 1000
        ))"
    };
}

pub(super) use unread;

impl SqliteStore {
    pub async fn unread(&self, room: &RoomId, user: &UserId) -> Result<u64, StoreError> {
        let counts = self.unread_for(room, std::slice::from_ref(user)).await?;
        counts
            .first()
            .map(|(_, unread)| *unread)
            .ok_or(StoreError::NotFound)
    }

    pub async fn unread_for(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, u64)>, StoreError> {
        let (room, users) = (room.clone(), users.to_vec());
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let readers = readers(connection, no, &users)?;
            let Some(first) = readers.iter().map(|reader| reader.read_seq).min() else {
                return Ok(Vec::new());
            };
            let log = newest(connection, no, first)?;
            Ok(readers
                .into_iter()
                .map(|reader| {
                    let unread = log.unread(&reader);
                    (reader.id, unread)
                })
                .collect())
        };
        self.database.read(read).await
    }
}

struct Reader {
    id: UserId,
    no: i64,
    read_seq: u64,
}

fn readers(connection: &Connection, room: i64, users: &[UserId]) -> Outcome<Vec<Reader>> {
    const SQL: &str = "
        SELECT u.id, u.no, m.read_seq
        FROM json_each(?1) e CROSS JOIN users u ON u.id = e.value
        CROSS JOIN members m ON m.room = ?2 AND m.user = u.no";
    let users = super::message::id_list(users);
    let mut statement = connection.prepare_cached(SQL)?;
    let readers = statement.query_map((users, room), |row| {
        Ok(Reader {
            id: user_id(row, 0)?,
            no: row.get(1)?,
            read_seq: row.get(2)?,
        })
    })?;
    Ok(readers.collect::<Result<_, _>>()?)
}

/// The newest messages of a room, the newest first.
struct Newest {
    seqs: Vec<u64>,
    by_sender: HashMap<i64, Vec<u64>>,
}

fn newest(connection: &Connection, room: i64, after: u64) -> Outcome<Newest> {
    const SQL: &str = "
        SELECT entry, sender FROM messages
        WHERE entry > ?1 AND entry < ?2 AND deleted_at IS NULL
        ORDER BY entry DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query((entry(room, after), entry(room + 1, 0), LOOKED_AT))?;
    let mut newest = Newest {
        seqs: Vec::new(),
        by_sender: HashMap::new(),
    };
    while let Some(row) = rows.next()? {
        let seq = seq_of(row.get(0)?);
        newest.seqs.push(seq);
        newest.by_sender.entry(row.get(1)?).or_default().push(seq);
    }
    Ok(newest)
}

impl Newest {
    fn unread(&self, reader: &Reader) -> u64 {
        let after = |seqs: &[u64]| seqs.partition_point(|seq| *seq > reader.read_seq);
        let own = self.by_sender.get(&reader.no).map_or(0, |seqs| after(seqs));
        UNREAD_MAX.min((after(&self.seqs) - own) as u64)
    }
}
