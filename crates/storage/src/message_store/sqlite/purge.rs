//! Removing what belongs to deleted rooms, a little in each transaction: a room may hold millions
//! of messages, and everybody's writes go through the same thread.

use super::append::remove_reactions;
use super::entry::entry;
use super::search;
use crate::sqlite::{Outcome, Transaction};
use rusqlite::{Connection, OptionalExtension};

/// Rows of each table that one step removes.
const STEP: u32 = 500;

/// Removes a part of one deleted room; true if there is more to do.
pub(super) fn step(transaction: &Transaction<'_>) -> Outcome<bool> {
    const NEXT: &str = "SELECT no FROM rooms WHERE deleted_at IS NOT NULL LIMIT 1";
    const MEMBERS: &str = "
        DELETE FROM members WHERE room = ?1 AND user IN (
            SELECT user FROM members WHERE room = ?1 LIMIT ?2
        )";
    const CHANGES: &str = "
        DELETE FROM changes WHERE entry IN (
            SELECT entry FROM changes WHERE entry > ?1 AND entry < ?2 LIMIT ?3
        )";
    const ROOM: &str = "DELETE FROM rooms WHERE no = ?1";
    let room: Option<i64> = transaction
        .prepare_cached(NEXT)?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(room) = room else { return Ok(false) };
    let log = (entry(room, 0), entry(room + 1, 0));
    let removed = transaction.prepare_cached(MEMBERS)?.execute((room, STEP))?
        + transaction
            .prepare_cached(CHANGES)?
            .execute((log.0, log.1, STEP))?
        + remove_messages(transaction, log)?;
    if removed == 0 {
        transaction.prepare_cached(ROOM)?.execute([room])?;
    }
    Ok(true)
}

fn remove_messages(transaction: &Transaction<'_>, (first, end): (i64, i64)) -> Outcome<usize> {
    const DELETE: &str = "DELETE FROM messages WHERE entry = ?1";
    let entries = entries(transaction, first, end)?;
    for &entry in &entries {
        remove_reactions(transaction, entry)?;
        transaction.prepare_cached(DELETE)?.execute([entry])?;
        search::remove(transaction, entry);
    }
    Ok(entries.len())
}

fn entries(connection: &Connection, first: i64, end: i64) -> rusqlite::Result<Vec<i64>> {
    const SQL: &str = "SELECT entry FROM messages WHERE entry > ?1 AND entry < ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(SQL)?;
    statement
        .query_map((first, end, STEP), |row| row.get(0))?
        .collect()
}
