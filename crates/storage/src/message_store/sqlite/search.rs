//! Full-text search in the messages of a room. The index holds words, no texts, in the order of the messages; it changes at the
//! end of the transaction that changes the messages (see `Transaction::before_commit`).

use super::columns::{room_no, viewer_no};
use super::entry::{entry, room_of};
use super::message::load_page;
use super::{Page, SqliteStore, StoredMessage};
use crate::StoreError;
use crate::sqlite::Transaction;
use protocol::{RoomId, UserId};
use rusqlite::Connection;
use text::{Query, Token};

impl SqliteStore {
    pub async fn search(
        &self,
        room: &RoomId,
        query: &str,
        before: Option<u64>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredMessage>, StoreError> {
        // Rowids of a full-text table come in either order without sorting.
        const SQL: &str = "
            SELECT rowid FROM messages_index
            WHERE messages_index MATCH ?1 AND rowid > ?2 AND rowid < ?3
            ORDER BY rowid DESC LIMIT ?4";
        let (room, viewer, query) = (room.clone(), viewer.cloned(), Query::new(query));
        let read = move |connection: &Connection| {
            let no = room_no(connection, &room)?;
            let viewer = viewer_no(connection, viewer.as_ref())?;
            let Some(words) = query.map(|query| expression(no, &query)) else {
                return Ok(Page {
                    items: Vec::new(),
                    has_more: false,
                });
            };
            let mut statement = connection.prepare_cached(SQL)?;
            let end = before.map_or(entry(no + 1, 0), |seq| entry(no, seq));
            let range = (words, entry(no, 0), end, u64::from(limit) + 1);
            let found = statement
                .query_map(range, |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?;
            Ok(load_page(connection, &room, &found, limit, viewer)?)
        };
        self.database.search(read).await
    }
}

/// Adds a message's text to the index.
pub(super) fn put(transaction: &Transaction<'_>, entry: i64, body: String) {
    transaction.before_commit(entry, move |connection| insert(connection, entry, &body));
}

pub(super) fn insert(connection: &Connection, entry: i64, body: &str) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO messages_index (rowid, tokens) VALUES (?1, ?2)";
    let mut tokens = String::with_capacity(2 * body.len());
    text::write_tokens(body, &prefix(room_of(entry)), &mut tokens);
    connection
        .prepare_cached(SQL)?
        .execute((entry, tokens))
        .map(drop)
}

/// Takes a message out of the index.
pub(super) fn remove(transaction: &Transaction<'_>, entry: i64) {
    const SQL: &str = "DELETE FROM messages_index WHERE rowid = ?1";
    transaction.before_commit(entry, move |connection| {
        connection.prepare_cached(SQL)?.execute([entry]).map(drop)
    });
}

/// What the tokens of a room begin with.
fn prefix(no: i64) -> String {
    format!("{no:x}_")
}

/// Tokens as the index has them.
fn of_room(no: i64, tokens: &[Token]) -> String {
    let room = prefix(no);
    let mut text = String::with_capacity(tokens.len() * (room.len() + 8));
    for token in tokens {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&room);
        token.push_to(&mut text);
    }
    text
}

/// The query as an expression of FTS5: every phrase a quoted string, the last one with a word that may go on.
fn expression(no: i64, query: &Query) -> String {
    let phrases = query.phrases().iter();
    let phrases: Vec<String> = phrases.map(|it| quoted(&of_room(no, it))).collect();
    let end = if query.is_open() { "*" } else { "" };
    phrases.join(" ") + end
}

/// Text as a string of FTS5, in which nothing is syntax. Its parser would end at a NUL.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\0', " ").replace('"', "\"\""))
}
