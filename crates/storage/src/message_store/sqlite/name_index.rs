//! Finding users and public rooms by part of a name. The full-text tables hold every three
//! characters in a row, so three or more are found anywhere in a name without reading them all;
//! fewer are looked for at the beginning of names, by their ordinary indexes.

use super::search::quoted;
use rusqlite::Connection;

/// The expression of FTS5 that finds names with this text in them; none if it is too short.
pub(super) fn holding(query: &str) -> Option<String> {
    (query.chars().count() >= 3).then(|| quoted(query))
}

/// The range of lower-case names that begin with this text.
pub(super) fn beginning(query: &str) -> (String, String) {
    let first = query.to_lowercase();
    let end = format!("{first}{}", char::MAX);
    (first, end)
}

pub(super) fn put_user(
    connection: &Connection,
    no: i64,
    username: &str,
    display_name: &str,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO users_index (rowid, username, display_name) VALUES (?1, ?2, ?3)";
    remove_user(connection, no)?;
    connection
        .prepare_cached(SQL)?
        .execute((no, username, display_name))
        .map(drop)
}

pub(super) fn remove_user(connection: &Connection, no: i64) -> rusqlite::Result<()> {
    const SQL: &str = "DELETE FROM users_index WHERE rowid = ?1";
    connection.prepare_cached(SQL)?.execute([no]).map(drop)
}

pub(super) fn put_room(connection: &Connection, no: i64, name: &str) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO rooms_index (rowid, name) VALUES (?1, ?2)";
    remove_room(connection, no)?;
    connection
        .prepare_cached(SQL)?
        .execute((no, name))
        .map(drop)
}

pub(super) fn remove_room(connection: &Connection, no: i64) -> rusqlite::Result<()> {
    const SQL: &str = "DELETE FROM rooms_index WHERE rowid = ?1";
    connection.prepare_cached(SQL)?.execute([no]).map(drop)
}
