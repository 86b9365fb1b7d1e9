//! Messages in their present state, as every reader and every append returns them.

use super::super::attachment;
use super::super::message::merged;
use super::columns::{timestamp, timestamp_option, user_id};
use super::entry::seq_of;
use super::{Page, StoredAttachment, StoredMessage};
use protocol::{MessageId, Reaction, RoomId, Sender, UserId};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row};

/// The columns that [`from_row`] reads, from `messages m` and its sender `users u`.
macro_rules! message_columns {
    () => {
        "m.entry, m.id, u.id, u.display_name, u.guest, m.body, m.at, m.client_id, m.reply_to, \
         m.mentions, m.edited_at, m.deleted_at, m.attachments"
    };
}
pub(super) use message_columns;

/// A message without its reactions, and its key.
pub(super) fn from_row(row: &Row<'_>, room_id: &RoomId) -> rusqlite::Result<(i64, StoredMessage)> {
    let entry = row.get(0)?;
    let message = StoredMessage {
        id: MessageId::trusted(row.get::<_, String>(1)?),
        room_id: room_id.clone(),
        seq: seq_of(entry),
        sender: Sender {
            id: user_id(row, 2)?,
            display_name: row.get(3)?,
            guest: row.get(4)?,
        },
        body: row.get(5)?,
        at: timestamp(row, 6)?,
        client_id: row.get(7)?,
        reply_to: row.get(8)?,
        mentions: parse_mentions(row.get_ref(9)?.as_str_or_null()?)?,
        edited_at: timestamp_option(row, 10)?,
        deleted_at: timestamp_option(row, 11)?,
        attachments: attachments(row, 12)?,
        reactions: Vec::new(),
    };
    Ok((entry, message))
}

/// One message with its reactions as `viewer` sees them.
pub(super) fn load(
    connection: &Connection,
    room_id: &RoomId,
    entry: i64,
    viewer: i64,
) -> rusqlite::Result<Option<StoredMessage>> {
    const SQL: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM messages m CROSS JOIN users u ON u.no = m.sender WHERE m.entry = ?1"
    );
    let found = connection
        .prepare_cached(SQL)?
        .query_row([entry], |row| from_row(row, room_id))
        .optional()?;
    let Some(message) = found else {
        return Ok(None);
    };
    Ok(with_reactions(connection, vec![message], viewer)?.pop())
}

/// The messages of a room with these keys, in their order.
pub(super) fn load_all(
    connection: &Connection,
    room_id: &RoomId,
    entries: &[i64],
    viewer: i64,
) -> rusqlite::Result<Vec<StoredMessage>> {
    const SQL: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM json_each(?1) e CROSS JOIN messages m ON m.entry = e.value
          CROSS JOIN users u ON u.no = m.sender"
    );
    let mut statement = connection.prepare_cached(SQL)?;
    let mut messages = statement
        .query_map([json(entries)], |row| from_row(row, room_id))?
        .collect::<Result<Vec<_>, _>>()?;
    messages.sort_unstable_by_key(|(entry, _)| *entry);
    messages.dedup_by_key(|(entry, _)| *entry);
    with_reactions(connection, messages, viewer)
}

/// The first of the messages of a room with these distinct keys, as many as a page holds.
pub(super) fn load_page(
    connection: &Connection,
    room_id: &RoomId,
    entries: &[i64],
    limit: u32,
    viewer: i64,
) -> rusqlite::Result<Page<StoredMessage>> {
    // One after the other, in the order of the list: nothing is read that the page doesn't hold, but for the next one.
    const SQL: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM json_each(?1) e CROSS JOIN messages m ON m.entry = e.value
          CROSS JOIN users u ON u.no = m.sender ORDER BY e.rowid"
    );
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map([json(entries)], |row| from_row(row, room_id))?;
    let page = Page::fill(rows, limit, |(_, message)| message.bytes())?;
    Ok(Page {
        items: with_reactions(connection, page.items, viewer)?,
        has_more: page.has_more,
    })
}

/// Puts the reactions to messages that are in ascending or descending order of their keys.
pub(super) fn with_reactions(
    connection: &Connection,
    messages: Vec<(i64, StoredMessage)>,
    viewer: i64,
) -> rusqlite::Result<Vec<StoredMessage>> {
    const SQL: &str = "
        SELECT c.entry, c.emoji, c.count, EXISTS (
            SELECT 1 FROM reactions r
            WHERE r.entry = c.entry AND r.user = ?2 AND r.emoji = c.emoji AND r.present
        )
        FROM json_each(?1) e CROSS JOIN reaction_counts c ON c.entry = e.value
        ORDER BY c.entry, c.first_seq";
    let entries: Vec<i64> = messages.iter().map(|(entry, _)| *entry).collect();
    let mut statement = connection.prepare_cached(SQL)?;
    let mut reactions = statement
        .query_map((json(&entries), viewer), |row| {
            let reaction = Reaction {
                emoji: row.get(1)?,
                count: row.get(2)?,
                mine: row.get(3)?,
            };
            Ok((row.get(0)?, reaction))
        })?
        .collect::<Result<Vec<(i64, Reaction)>, _>>()?;
    let with_reactions = |(entry, mut message): (i64, StoredMessage)| {
        let first = reactions.partition_point(|(of, _)| *of < entry);
        let count = reactions[first..].partition_point(|(of, _)| *of == entry);
        let its = reactions.drain(first..first + count);
        message.reactions = merged(its.map(|(_, reaction)| reaction));
        message
    };
    Ok(messages.into_iter().map(with_reactions).collect())
}

/// A list as `json_each` takes it: one statement for lists of any length.
pub(super) fn json(entries: &[i64]) -> String {
    let mut text = String::with_capacity(2 + 20 * entries.len());
    text.push('[');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&entry.to_string());
    }
    text.push(']');
    text
}

/// Ids as a JSON list, or nothing if there are none; `json_each` takes both.
pub(super) fn id_list(mentions: &[UserId]) -> Option<String> {
    // Ids hold nothing that JSON would escape.
    let quoted: Vec<String> = mentions.iter().map(|id| format!("\"{id}\"")).collect();

    (!quoted.is_empty()).then(|| format!("[{}]", quoted.join(",")))
}

fn parse_mentions(text: Option<&str>) -> rusqlite::Result<Vec<UserId>> {
    text.map_or(Ok(Vec::new()), serde_json::from_str)
        .map_err(|error| malformed(9, error))
}

/// The attachments in a column.
pub(super) fn attachments(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<StoredAttachment>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    attachment::from_text(text).map_err(|error| malformed(column, error))
}

fn malformed(column: usize, error: serde_json::Error) -> rusqlite::Error {
    let error = FromSqlError::Other(Box::new(error));
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
