//! Making the indexes over names and messages anew, when this program makes something else of a text than an earlier
//! version did.

use super::{name_index, search};
use crate::sqlite::Outcome;
use rusqlite::Connection;

/// Makes all of them from the rows. A million messages take some ten seconds, in which nobody is served.
pub(super) fn renew(connection: &Connection) -> Outcome<()> {
    const USERS: &str = "SELECT no, username, display_name FROM users WHERE deleted_at IS NULL";
    const ROOMS: &str = "SELECT no, name FROM rooms WHERE kind = 'public' AND deleted_at IS NULL";
    // In the order of their keys, in which an index is written fastest.
    const MESSAGES: &str =
        "SELECT entry, body FROM messages WHERE deleted_at IS NULL ORDER BY entry";
    connection.execute_batch(include_str!("indexes.sql"))?;
    let mut users = connection.prepare(USERS)?;
    let mut rows = users.query([])?;
    while let Some(row) = rows.next()? {
        let (username, display_name): (String, String) = (row.get(1)?, row.get(2)?);
        name_index::put_user(connection, row.get(0)?, &username, &display_name)?;
    }
    let mut rooms = connection.prepare(ROOMS)?;
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        name_index::put_room(connection, row.get(0)?, &row.get::<_, String>(1)?)?;
    }
    let mut messages = connection.prepare(MESSAGES)?;
    let mut rows = messages.query([])?;
    let mut count = 0u64;
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        search::insert(connection, row.get(0)?, &body)?;
        count += 1;
    }
    if count > 0 {
        tracing::info!(messages = count, "the search index was made anew");
    }
    Ok(())
}
