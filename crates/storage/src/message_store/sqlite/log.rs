//! Reading a room's log: its head, and its events in order.

use super::super::message::full_spelling;
use super::columns::{room_no, user_id, viewer_no};
use super::entry::{entry, seq_of};
use super::message::load_all;
use super::{EventBody, Head, StoredEvent};
use super::{Page, SqliteStore, StoredMessage};
use crate::StoreError;
use crate::sqlite::Outcome;
use protocol::{Epoch, RoomId, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

impl SqliteStore {
    pub async fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        const SQL: &str = "
            SELECT h.head_seq, r.epoch FROM rooms r CROSS JOIN room_heads h ON h.room = r.no
            WHERE r.id = ?1 AND r.deleted_at IS NULL";
        let room = room.clone();
        let read = move |connection: &Connection| {
            let head = connection
                .prepare_cached(SQL)?
                .query_row([room.as_str()], |row| {
                    Ok(Head {
                        seq: row.get(0)?,
                        epoch: Epoch::new(row.get::<_, String>(1)?),
                    })
                })
                .optional()?;
            head.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    pub async fn all_heads(&self) -> Result<Vec<(RoomId, u64)>, StoreError> {
        const SQL: &str = "
            SELECT r.id, h.head_seq FROM rooms r CROSS JOIN room_heads h ON h.room = r.no
            WHERE r.deleted_at IS NULL ORDER BY r.no";
        let read = |connection: &Connection| {
            let mut statement = connection.prepare(SQL)?;
            let heads = statement.query_map([], |row| {
                Ok((RoomId::trusted(row.get::<_, String>(0)?), row.get(1)?))
            })?;
            Ok(heads.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn events(
        &self,
        room: &RoomId,
        after: u64,
        up_to: u64,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let (room, viewer) = (room.clone(), viewer.cloned());
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let viewer = viewer_no(connection, viewer.as_ref())?;
            let range = (entry(no, after), entry(no, up_to));
            let rows = rows(connection, range, limit)?;
            let of_messages: Vec<i64> = rows
                .items
                .iter()
                .filter_map(|row| row.message(no))
                .collect();
            let messages = load_all(connection, &room, &of_messages, viewer)?;
            let mut events = Vec::with_capacity(rows.items.len());
            for row in rows.items {
                let message = row
                    .message(no)
                    .and_then(|key| {
                        messages
                            .binary_search_by_key(&seq_of(key), |message| message.seq)
                            .ok()
                    })
                    .and_then(|index| messages.get(index))
                    .cloned();
                events.push(row.event(&room, message)?);
            }
            Ok(Page {
                items: events,
                has_more: rows.has_more,
            })
        };
        self.database.read(read).await
    }
}

/// An entry as the tables hold it; one of `messages` has no change.
struct EntryRow {
    entry: i64,
    /// Bytes of the text of the message that it carries.
    bytes: usize,
    change: Option<ChangeRow>,
}

struct ChangeRow {
    kind: String,
    of: u64,
    actor: UserId,
    emoji: Option<String>,
    attachment: Option<String>,
}

fn rows(
    connection: &Connection,
    (after, up_to): (i64, i64),
    limit: u32,
) -> rusqlite::Result<Page<EntryRow>> {
    // Both halves come in the order of their keys, so they are merged without sorting. The length of a text is read
    // without the text.
    const SQL: &str = "
        SELECT entry, octet_length(body) + ifnull(octet_length(attachments), 0), NULL, NULL, NULL, NULL, NULL
        FROM messages WHERE entry > ?1 AND entry <= ?2
        UNION ALL
        SELECT c.entry, CASE WHEN c.kind IN ('edited', 'processed') THEN (
                SELECT octet_length(m.body) + ifnull(octet_length(m.attachments), 0) FROM messages m WHERE m.entry = (c.entry >> 32 << 32 | c.of_seq)
            ) ELSE 0 END, c.kind, c.of_seq, u.id, c.emoji, c.attachment
        FROM changes c CROSS JOIN users u ON u.no = c.actor WHERE c.entry > ?1 AND c.entry <= ?2
        ORDER BY 1 LIMIT ?3";
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map((after, up_to, u64::from(limit) + 1), EntryRow::from_row)?;
    Page::fill(rows, limit, |row| row.bytes)
}

impl EntryRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let change = match row.get(2)? {
            None => None,
            Some(kind) => Some(ChangeRow {
                kind,
                of: row.get(3)?,
                actor: user_id(row, 4)?,
                emoji: row.get(5)?,
                attachment: row.get(6)?,
            }),
        };
        Ok(Self {
            entry: row.get(0)?,
            bytes: row.get(1)?,
            change,
        })
    }

    /// The key of the message that the event carries, if it carries one.
    fn message(&self, room: i64) -> Option<i64> {
        match &self.change {
            None => Some(self.entry),
            Some(change) => {
                matches!(&*change.kind, "edited" | "processed").then(|| entry(room, change.of))
            }
        }
    }

    fn event(self, room: &RoomId, message: Option<StoredMessage>) -> Outcome<StoredEvent> {
        let body = match (self.change, message) {
            (None, Some(message)) => EventBody::Sent(message),
            (
                Some(ChangeRow {
                    kind,
                    of,
                    attachment: Some(attachment),
                    ..
                }),
                Some(message),
            ) if kind == "processed" => EventBody::processed(of, message, &attachment),
            (Some(ChangeRow { of, .. }), Some(message)) => EventBody::Edited { of, message },
            (Some(ChangeRow { kind, of, .. }), None) if kind == "deleted" => {
                EventBody::Deleted { of }
            }
            (
                Some(ChangeRow {
                    kind,
                    of,
                    actor,
                    emoji: Some(emoji),
                    ..
                }),
                None,
            ) => EventBody::Reacted {
                of,
                emoji: full_spelling(emoji),
                user_id: actor,
                on: kind == "reacted",
            },
            _ => return Err(StoreError::internal("an entry without its message").into()),
        };
        Ok(StoredEvent {
            room_id: room.clone(),
            seq: seq_of(self.entry),
            body,
        })
    }
}
