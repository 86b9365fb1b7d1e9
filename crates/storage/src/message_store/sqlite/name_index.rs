//! Finding users and public rooms by part of a name. The full-text tables hold every three characters in a row of the
//! folded names, so three or more are found anywhere in a name without reading them all; fewer are looked for among the
//! pieces of one and two.

use super::search::quoted;
use rusqlite::Connection;

/// What a search looks for, and where.
pub(super) enum Wanted {
    /// A row of the tables of pieces.
    Piece(String),
    /// An expression for the full-text tables.
    Part(String),
}

impl Wanted {
    /// Nothing if no name can have it.
    pub(super) fn new(query: &str) -> Option<Self> {
        match text::NameQuery::new(query) {
            text::NameQuery::Nothing => None,
            text::NameQuery::Piece(piece) => Some(Self::Piece(piece)),
            text::NameQuery::Part(part) => Some(Self::Part(quoted(&part))),
        }
    }
}

pub(super) fn put_user(
    connection: &Connection,
    no: i64,
    username: &str,
    display_name: &str,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO users_index (rowid, username, display_name) VALUES (?1, ?2, ?3)";
    const PIECE: &str = "INSERT OR IGNORE INTO user_name_pieces (piece, no) VALUES (?1, ?2)";
    remove_user(connection, no)?;
    let names = [username, display_name].map(text::fold);
    let mut pieces = connection.prepare_cached(PIECE)?;
    for piece in names.iter().flat_map(|name| text::pieces(name)) {
        pieces.execute((piece, no))?;
    }
    let [username, display_name] = names;
    connection
        .prepare_cached(SQL)?
        .execute((no, username, display_name))
        .map(drop)
}

pub(super) fn remove_user(connection: &Connection, no: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM users_index WHERE rowid = ?1",
        "DELETE FROM user_name_pieces WHERE no = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([no])?;
    }
    Ok(())
}

pub(super) fn put_room(connection: &Connection, no: i64, name: &str) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO rooms_index (rowid, name) VALUES (?1, ?2)";
    const PIECE: &str = "INSERT OR IGNORE INTO room_name_pieces (piece, no) VALUES (?1, ?2)";
    remove_room(connection, no)?;
    let name = text::fold(name);
    let mut pieces = connection.prepare_cached(PIECE)?;
    for piece in text::pieces(&name) {
        pieces.execute((piece, no))?;
    }
    connection
        .prepare_cached(SQL)?
        .execute((no, name))
        .map(drop)
}

pub(super) fn remove_room(connection: &Connection, no: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM rooms_index WHERE rowid = ?1",
        "DELETE FROM room_name_pieces WHERE no = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([no])?;
    }
    Ok(())
}
