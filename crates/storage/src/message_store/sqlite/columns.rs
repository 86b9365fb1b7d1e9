//! Values as columns hold them, and the numbers behind ids.

use crate::StoreError;
use crate::sqlite::Outcome;
use protocol::{Role, RoomId, RoomKind, RoomRole, Timestamp, UserId};
use rusqlite::types::{FromSqlError, FromSqlResult, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, RowIndex};

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_ms)
}

pub(super) fn timestamp_option(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(Timestamp::from_unix_ms))
}

pub(super) fn user_id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    text(row, column, |text| Some(UserId::trusted(text)))
}

pub(super) fn room_id(row: &Row<'_>, column: usize) -> rusqlite::Result<RoomId> {
    text(row, column, |text| Some(RoomId::trusted(text)))
}

pub(super) fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    text(row, column, |text| match text {
        "user" => Some(Role::User),
        "staff" => Some(Role::Staff),
        "admin" => Some(Role::Admin),
        _ => None,
    })
}

pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Staff => "staff",
        Role::Admin => "admin",
    }
}

pub(super) fn room_role(row: &Row<'_>, column: usize) -> rusqlite::Result<RoomRole> {
    text(row, column, parse_room_role)
}

pub(super) fn room_role_option(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RoomRole>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => room_role(row, column).map(Some),
    }
}

fn parse_room_role(text: &str) -> Option<RoomRole> {
    match text {
        "member" => Some(RoomRole::Member),
        "moderator" => Some(RoomRole::Moderator),
        "owner" => Some(RoomRole::Owner),
        _ => None,
    }
}

pub(super) fn room_role_text(role: RoomRole) -> &'static str {
    match role {
        RoomRole::Member => "member",
        RoomRole::Moderator => "moderator",
        RoomRole::Owner => "owner",
    }
}

pub(super) fn room_kind(row: &Row<'_>, column: usize) -> rusqlite::Result<RoomKind> {
    text(row, column, |text| match text {
        "public" => Some(RoomKind::Public),
        "private" => Some(RoomKind::Private),
        "direct" => Some(RoomKind::Direct),
        _ => None,
    })
}

pub(super) fn room_kind_text(kind: RoomKind) -> &'static str {
    match kind {
        RoomKind::Public => "public",
        RoomKind::Private => "private",
        RoomKind::Direct => "direct",
    }
}

fn text<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let index = column.idx(row.as_ref())?;
    let parsed: FromSqlResult<T> = row
        .get_ref(index)?
        .as_str()
        .and_then(|text| parse(text).ok_or(FromSqlError::InvalidType));
    parsed.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}

/// The number of a user who isn't deleted.
pub(super) fn user_no(connection: &Connection, id: &UserId) -> Outcome<i64> {
    connection
        .prepare_cached("SELECT no FROM users WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::NotFound.into())
}

/// The number of the viewer, if there is one; 0 is no user's.
pub(super) fn viewer_no(connection: &Connection, viewer: Option<&UserId>) -> Outcome<i64> {
    viewer.map_or(Ok(0), |id| user_no(connection, id))
}

/// The number of a room.
pub(super) fn room_no(connection: &Connection, id: &RoomId) -> Outcome<i64> {
    connection
        .prepare_cached("SELECT no FROM rooms WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::NotFound.into())
}

/// The number behind a cursor: 0, before everything, if there is none. Numbers are assigned in the order of ids, so that
/// a cursor leads on after what it named is gone.
pub(super) fn user_cursor(connection: &Connection, after: Option<&UserId>) -> Outcome<i64> {
    const SQL: &str = "SELECT no FROM users WHERE id <= ?1 ORDER BY id DESC LIMIT 1";
    cursor(connection, SQL, after.map(UserId::as_str))
}

/// The same for rooms.
pub(super) fn room_cursor(connection: &Connection, after: Option<&RoomId>) -> Outcome<i64> {
    const SQL: &str = "SELECT no FROM rooms WHERE id <= ?1 ORDER BY id DESC LIMIT 1";
    cursor(connection, SQL, after.map(RoomId::as_str))
}

fn cursor(connection: &Connection, sql: &str, after: Option<&str>) -> Outcome<i64> {
    let Some(id) = after else { return Ok(0) };
    let found = connection
        .prepare_cached(sql)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}
