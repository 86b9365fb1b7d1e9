//! Blocks between users. A block works both ways: neither of the two reaches the other.

use super::super::blocks::{BLOCKS_MAX, check_block, too_many_blocks};
use super::SqliteStore;
use super::columns::{room_id, user_id, user_no};
use crate::StoreError;
use crate::sqlite::{Outcome, Transaction};
use protocol::{RoomId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension};

impl SqliteStore {
    pub async fn block(
        &self,
        user: &UserId,
        blocked: &UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const COUNT: &str = "SELECT count(*) FROM blocks WHERE user = ?1";
        const SQL: &str = "
            INSERT INTO blocks (user, blocked, created_at) VALUES (?1, ?2, ?3)
            ON CONFLICT DO NOTHING";
        let (user, blocked) = (user.clone(), blocked.clone());
        let write = move |transaction: &Transaction<'_>| {
            check_block(&user, &blocked)?;
            let user = user_no(transaction, &user)?;
            let blocked = user_no(transaction, &blocked)?;
            let row = (user, blocked, now.unix_ms());
            let new = transaction.prepare_cached(SQL)?.execute(row)? > 0;
            let count: u64 = transaction
                .prepare_cached(COUNT)?
                .query_row([user], |row| row.get(0))?;
            if count > BLOCKS_MAX as u64 {
                return Err(too_many_blocks().into());
            }
            Ok(new)
        };
        self.database.write(write).await
    }

    pub async fn unblock(&self, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
        const SQL: &str = "
            DELETE FROM blocks
            WHERE user = (SELECT no FROM users WHERE id = ?1)
                AND blocked = (SELECT no FROM users WHERE id = ?2)";
        let (user, blocked) = (user.clone(), blocked.clone());
        let write = move |transaction: &Transaction<'_>| {
            let ids = [user.as_str(), blocked.as_str()];
            Ok(transaction.prepare_cached(SQL)?.execute(ids)? > 0)
        };
        self.database.write(write).await
    }

    pub async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "
            SELECT u.id FROM blocks b CROSS JOIN users u ON u.no = b.blocked WHERE b.user = ?1";
        let user = user.clone();
        let read = move |connection: &Connection| {
            let user = user_no(connection, &user)?;
            let mut statement = connection.prepare_cached(SQL)?;
            let blocked = statement.query_map([user], |row| user_id(row, 0))?;
            Ok(blocked.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn direct_room_id(
        &self,
        one: &UserId,
        other: &UserId,
    ) -> Result<Option<RoomId>, StoreError> {
        const SQL: &str = "
            SELECT r.id FROM users a CROSS JOIN users b CROSS JOIN rooms r
                ON r.direct_low = min(a.no, b.no) AND r.direct_high = max(a.no, b.no)
            WHERE a.id = ?1 AND b.id = ?2 AND r.deleted_at IS NULL";
        let (one, other) = (one.clone(), other.clone());
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let ids = [one.as_str(), other.as_str()];
            Ok(statement.query_row(ids, |row| room_id(row, 0)).optional()?)
        };
        self.database.read(read).await
    }

    pub async fn is_blocked_in(&self, room: &RoomId) -> Result<bool, StoreError> {
        const SQL: &str = "
            SELECT direct_low, direct_high FROM rooms
            WHERE id = ?1 AND kind = 'direct' AND deleted_at IS NULL";
        let room = room.clone();
        let read = move |connection: &Connection| {
            let pair = connection
                .prepare_cached(SQL)?
                .query_row([room.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match pair {
                Some((low, high)) => Ok(between(connection, low, high)?),
                None => Ok(false),
            }
        };
        self.database.read(read).await
    }

    pub async fn blocked_rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        const SQL: &str = "
            SELECT DISTINCT r.id FROM blocks b CROSS JOIN rooms r
                ON r.direct_low = min(b.user, b.blocked) AND r.direct_high = max(b.user, b.blocked)
            WHERE r.deleted_at IS NULL";
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let rooms = statement.query_map([], |row| room_id(row, 0))?;
            Ok(rooms.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn is_blocked(&self, one: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (one, other) = (one.clone(), other.clone());
        let read = move |connection: &Connection| {
            let one = user_no(connection, &one)?;
            let other = user_no(connection, &other)?;
            Ok(between(connection, one, other)?)
        };
        self.database.read(read).await
    }
}

/// True if one of two users has blocked the other.
pub(super) fn between(connection: &Connection, one: i64, other: i64) -> rusqlite::Result<bool> {
    const SQL: &str = "
        SELECT EXISTS (SELECT 1 FROM blocks WHERE user = ?1 AND blocked = ?2)
            OR EXISTS (SELECT 1 FROM blocks WHERE user = ?2 AND blocked = ?1)";
    connection
        .prepare_cached(SQL)?
        .query_row([one, other], |row| row.get(0))
}

/// True if one of the two users of a direct room has blocked the other.
pub(super) fn in_direct_room(connection: &Connection, room: i64) -> Outcome<bool> {
    const SQL: &str = "SELECT direct_low, direct_high FROM rooms WHERE no = ?1";
    let (low, high) = connection
        .prepare_cached(SQL)?
        .query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(between(connection, low, high)?)
}
