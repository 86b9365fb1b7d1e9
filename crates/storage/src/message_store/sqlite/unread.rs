//! How many messages of a room a user hasn't read: messages of others after their `readSeq` that aren't
//! deleted. Counting is bounded, so that a room left alone for a year costs no more than one left
//! for a day.

use super::super::unread::{NEWEST, NewestMessages};
use super::SqliteStore;
use super::columns::{room_no, user_id};
use super::entry::{entry, seq_of};
use crate::StoreError;
use crate::sqlite::Outcome;
use protocol::{RoomId, UserId};
use rusqlite::Connection;

/// The number of unread messages of member `m` of room `r`, as an expression; `unread_for` counts
/// the same, within the same two bounds: those of `unread.rs`.
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
                    let unread = log.unread(&reader.no, reader.read_seq);
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

/// The newest messages of a room behind a `seq`.
fn newest(connection: &Connection, room: i64, after: u64) -> Outcome<NewestMessages<i64>> {
    const SQL: &str = "
        SELECT entry, sender FROM messages
        WHERE entry > ?1 AND entry < ?2 AND deleted_at IS NULL
        ORDER BY entry DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(SQL)?;
    let range = (entry(room, after), entry(room + 1, 0), NEWEST);
    let messages = statement
        .query_map(range, |row| Ok((seq_of(row.get(0)?), row.get(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(NewestMessages::new(messages))
}
