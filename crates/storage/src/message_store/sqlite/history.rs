//! A room's messages in their present state, page by page.

use super::columns::{room_no, viewer_no};
use super::entry::entry;
use super::message::{from_row, load, message_columns, with_reactions};
use super::{Page, SqliteStore, StoredMessage};
use crate::StoreError;
use protocol::{RoomId, UserId};
use rusqlite::{Connection, OptionalExtension};

impl SqliteStore {
    pub async fn history(
        &self,
        room: &RoomId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        const FORWARD: &str = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m CROSS JOIN users u ON u.no = m.sender
              WHERE m.entry > ?1 AND m.entry < ?2 ORDER BY m.entry LIMIT ?3"
        );
        const BACKWARD: &str = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m CROSS JOIN users u ON u.no = m.sender
              WHERE m.entry > ?1 AND m.entry < ?2 ORDER BY m.entry DESC LIMIT ?3"
        );
        let (room, viewer) = (room.clone(), viewer.cloned());
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let viewer = viewer_no(connection, viewer.as_ref())?;
            let first = entry(no, after.unwrap_or(0));
            let end = before.map_or(entry(no + 1, 0), |seq| entry(no, seq));
            let sql = if after.is_some() { FORWARD } else { BACKWARD };
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map((first, end, u64::from(limit) + 1), |row| {
                from_row(row, &room)
            })?;
            let mut page = Page::fill(rows, limit, |(_, message)| message.bytes())?;
            if after.is_none() {
                page.items.reverse();
            }
            let items = with_reactions(connection, page.items, viewer)?;
            Ok(Page {
                items,
                has_more: page.has_more,
            })
        };
        self.database.read(read).await
    }

    pub async fn message_of_client(
        &self,
        room: &RoomId,
        sender: &UserId,
        client_id: &str,
    ) -> Result<Option<StoredMessage>, StoreError> {
        const SQL: &str = "
            SELECT m.entry FROM users u
            CROSS JOIN messages m ON m.room = ?1 AND m.sender = u.no AND m.client_id = ?3
            WHERE u.id = ?2";
        let (room, sender, client_id) = (room.clone(), sender.clone(), client_id.to_owned());
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let found: Option<i64> = connection
                .prepare_cached(SQL)?
                .query_row((no, sender.as_str(), &client_id), |row| row.get(0))
                .optional()?;
            match found {
                Some(entry) => Ok(load(connection, &room, entry, 0)?),
                None => Ok(None),
            }
        };
        self.database.read(read).await
    }

    pub async fn message(
        &self,
        room: &RoomId,
        seq: u64,
        viewer: Option<&UserId>,
    ) -> Result<StoredMessage, StoreError> {
        let (room, viewer) = (room.clone(), viewer.cloned());
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let viewer = viewer_no(connection, viewer.as_ref())?;
            let message = load(connection, &room, entry(no, seq), viewer)?;
            message.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }
}
