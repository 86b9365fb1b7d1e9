//! The members of rooms, their roles, and how far each has read.

use super::super::owner_rules::{SUCCESSION, concerns_owners, require_owner};
use super::columns::{
    room_cursor, room_id, room_kind, room_no, room_role, room_role_option, room_role_text,
    timestamp, user_cursor, user_id, user_no,
};
use super::message::id_list;
use super::rooms::must_not_be_direct;
use super::users::{self, user_columns};
use super::{Membership, Removal, StoredMember};
use super::{Page, SqliteStore};
use crate::StoreError;
use crate::sqlite::{Failure, Outcome, Transaction};
use protocol::{RoomId, RoomRole, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::HashSet;

impl SqliteStore {
    pub async fn add_member(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (room, user) = (room.clone(), user.clone());
        let write = move |transaction: &Transaction<'_>| {
            let (room, _) = must_not_be_direct(transaction, &room)?;
            let user = user_no(transaction, &user)?;
            add(transaction, room, user, role, now)
        };
        self.database.write(write).await
    }

    pub async fn remove_member(&self, room: &RoomId, user: &UserId) -> Result<Removal, StoreError> {
        let (room, user) = (room.clone(), user.clone());
        let write = move |transaction: &Transaction<'_>| {
            let room = room_no(transaction, &room)?;
            let user = user_no(transaction, &user)?;
            remove(transaction, room, user)
        };
        self.database.write(write).await
    }

    pub async fn set_member_role(
        &self,
        room: &RoomId,
        user: &UserId,
        role: RoomRole,
    ) -> Result<(), StoreError> {
        let (room, user) = (room.clone(), user.clone());
        let write = move |transaction: &Transaction<'_>| {
            let (room, _) = must_not_be_direct(transaction, &room)?;
            let user = user_no(transaction, &user)?;
            let before = role_of(transaction, room, user)?.ok_or(StoreError::NotFound)?;
            set_role(transaction, room, user, role)?;
            if concerns_owners(Some(before), Some(role)) {
                require_owner(has_owner(transaction, room)?)?;
            }
            Ok(())
        };
        self.database.write(write).await
    }

    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Membership, StoreError> {
        let (room, user) = (room.clone(), user.clone());
        let read = move |connection: &Connection| {
            let membership = membership_of(connection, &room, &user)?;
            membership.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    pub async fn members_in_rooms(
        &self,
        rooms: &[(RoomId, Vec<UserId>)],
    ) -> Result<Vec<HashSet<UserId>>, StoreError> {
        const SQL: &str = "
            SELECT u.id FROM json_each(?2) e
            CROSS JOIN users u ON u.id = e.value
            CROSS JOIN members m ON m.room = ?1 AND m.user = u.no";
        let rooms = rooms.to_vec();
        let read = move |connection: &Connection| {
            let members = |(room, users): &(RoomId, Vec<UserId>)| -> Outcome<HashSet<UserId>> {
                let room = match room_no(connection, room) {
                    Err(Failure::Refused(StoreError::NotFound)) => return Ok(HashSet::new()),
                    room => room?,
                };
                let mut statement = connection.prepare_cached(SQL)?;
                let members = statement
                    .query_map((room, id_list(users)), |row| user_id(row, 0))?
                    .collect::<Result<_, _>>()?;
                Ok(members)
            };
            rooms.iter().map(members).collect()
        };
        self.database.read(read).await
    }

    pub async fn memberships(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Membership>>, StoreError> {
        let (user, rooms) = (user.clone(), rooms.to_vec());
        let read = move |connection: &Connection| {
            let memberships = rooms
                .iter()
                .map(|room| membership_of(connection, room, &user));
            Ok(memberships.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredMember>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", m.role, m.read_seq, m.joined_at
              FROM members m CROSS JOIN users u ON u.no = m.user
              WHERE m.room = ?1 AND m.user > ?2 ORDER BY m.user LIMIT ?3"
        );
        let (room, after) = (room.clone(), after.cloned());
        let read = move |connection: &Connection| {
            let room = room_no(connection, &room)?;
            let after = user_cursor(connection, after.as_ref())?;
            let mut statement = connection.prepare_cached(SQL)?;
            let members = statement
                .query_map((room, after, u64::from(limit) + 1), from_row)?
                .collect::<Result<_, _>>()?;
            Ok(Page::cut(members, limit))
        };
        self.database.read(read).await
    }

    pub async fn members_among(
        &self,
        room: &RoomId,
        ids: &[UserId],
        usernames: &[String],
    ) -> Result<Vec<StoredMember>, StoreError> {
        const BY_ID: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", m.role, m.read_seq, m.joined_at
              FROM json_each(?2) e CROSS JOIN users u ON u.id = e.value
              CROSS JOIN members m ON m.room = ?1 AND m.user = u.no ORDER BY u.no"
        );
        const BY_NAME: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", m.role, m.read_seq, m.joined_at
              FROM json_each(?2) e CROSS JOIN users u ON u.username_key = e.value
              CROSS JOIN members m ON m.room = ?1 AND m.user = u.no ORDER BY u.no"
        );
        let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
        let ids = serde_json::json!(ids).to_string();
        let names: Vec<String> = usernames.iter().map(|name| name.to_lowercase()).collect();
        let names = serde_json::json!(names).to_string();
        let room = room.clone();
        let read = move |connection: &Connection| {
            let room = room_no(connection, &room)?;
            let mut found: Vec<StoredMember> = Vec::new();
            for (sql, wanted) in [(BY_ID, ids), (BY_NAME, names)] {
                let mut statement = connection.prepare_cached(sql)?;
                for member in statement.query_map((room, wanted), from_row)? {
                    let member = member?;
                    if !found.iter().any(|known| known.user.id == member.user.id) {
                        found.push(member);
                    }
                }
            }
            Ok(found)
        };
        self.database.read(read).await
    }

    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<StoredMember, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", m.role, m.read_seq, m.joined_at
              FROM members m CROSS JOIN users u ON u.no = m.user
              WHERE m.room = ?1 AND u.id = ?2"
        );
        let (room, user) = (room.clone(), user.clone());
        let read = move |connection: &Connection| {
            let room = room_no(connection, &room)?;
            let member = connection
                .prepare_cached(SQL)?
                .query_row((room, user.as_str()), from_row)
                .optional()?;
            member.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    pub async fn member_ids(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<UserId>, StoreError> {
        const SQL: &str = "
            SELECT u.id FROM members m CROSS JOIN users u ON u.no = m.user
            WHERE m.room = ?1 AND m.user > ?2 ORDER BY m.user LIMIT ?3";
        let (room, after) = (room.clone(), after.cloned());
        let read = move |connection: &Connection| {
            let room = room_no(connection, &room)?;
            let after = user_cursor(connection, after.as_ref())?;
            let mut statement = connection.prepare_cached(SQL)?;
            let ids = statement
                .query_map((room, after, u64::from(limit) + 1), |row| user_id(row, 0))?
                .collect::<Result<_, _>>()?;
            Ok(Page::cut(ids, limit))
        };
        self.database.read(read).await
    }

    pub async fn room_ids(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<RoomId>, StoreError> {
        const SQL: &str = "
            SELECT r.id FROM members m CROSS JOIN rooms r ON r.no = m.room
            WHERE m.user = ?1 AND m.room > ?2 AND r.deleted_at IS NULL
            ORDER BY m.room LIMIT ?3";
        let (user, after) = (user.clone(), after.cloned());
        let read = move |connection: &Connection| {
            let user = user_no(connection, &user)?;
            let after = room_cursor(connection, after.as_ref())?;
            let mut statement = connection.prepare_cached(SQL)?;
            let ids = statement
                .query_map((user, after, u64::from(limit) + 1), |row| room_id(row, 0))?
                .collect::<Result<_, _>>()?;
            Ok(Page::cut(ids, limit))
        };
        self.database.read(read).await
    }

    pub async fn set_read(
        &self,
        room: &RoomId,
        user: &UserId,
        seq: u64,
    ) -> Result<u64, StoreError> {
        const READ: &str = "
            SELECT m.read_seq, h.head_seq FROM members m CROSS JOIN room_heads h ON h.room = m.room
            WHERE m.room = ?1 AND m.user = ?2";
        const SQL: &str = "UPDATE members SET read_seq = ?3 WHERE room = ?1 AND user = ?2";
        let (room, user) = (room.clone(), user.clone());
        let write = move |transaction: &Transaction<'_>| {
            let room = room_no(transaction, &room)?;
            let user = user_no(transaction, &user)?;
            let (read, head): (u64, u64) = transaction
                .prepare_cached(READ)?
                .query_row([room, user], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or(StoreError::NotFound)?;
            let seq = seq.min(head);
            if seq <= read {
                return Ok(read);
            }
            transaction
                .prepare_cached(SQL)?
                .execute((room, user, seq))?;
            Ok(seq)
        };
        self.database.write(write).await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredMember> {
    Ok(StoredMember {
        user: users::from_row(row)?,
        role: room_role(row, users::USER_COLUMNS)?,
        read_seq: row.get(users::USER_COLUMNS + 1)?,
        joined_at: timestamp(row, users::USER_COLUMNS + 2)?,
    })
}

/// A user's membership in a room, if there is such a room.
fn membership_of(
    connection: &Connection,
    room: &RoomId,
    user: &UserId,
) -> rusqlite::Result<Option<Membership>> {
    const SQL: &str = "
        SELECT r.kind, m.role FROM rooms r
        LEFT JOIN members m ON m.room = r.no AND m.user = (SELECT no FROM users WHERE id = ?2)
        WHERE r.id = ?1 AND r.deleted_at IS NULL";
    connection
        .prepare_cached(SQL)?
        .query_row([room.as_str(), user.as_str()], |row| {
            Ok(Membership {
                kind: room_kind(row, 0)?,
                role: room_role_option(row, 1)?,
            })
        })
        .optional()
}

/// The role of a user in a room; none for a user who isn't a member.
pub(super) fn role_of(
    connection: &Connection,
    room: i64,
    user: i64,
) -> rusqlite::Result<Option<RoomRole>> {
    const SQL: &str = "SELECT role FROM members WHERE room = ?1 AND user = ?2";
    connection
        .prepare_cached(SQL)?
        .query_row([room, user], |row| room_role(row, 0))
        .optional()
}

/// Adds a member who has read everything; false if the user is a member already.
pub(super) fn add(
    transaction: &Transaction<'_>,
    room: i64,
    user: i64,
    role: RoomRole,
    now: Timestamp,
) -> Outcome<bool> {
    const SQL: &str = "
        INSERT INTO members (room, user, role, read_seq, joined_at)
        SELECT room, ?2, ?3, head_seq, ?4 FROM room_heads WHERE room = ?1
        ON CONFLICT DO NOTHING";
    let row = (room, user, room_role_text(role), now.unix_ms());
    let new = transaction.prepare_cached(SQL)?.execute(row)? > 0;
    if new {
        count(transaction, room, 1)?;
    }
    Ok(new)
}

/// Removes a member and sees to it that an owner remains.
pub(super) fn remove(transaction: &Transaction<'_>, room: i64, user: i64) -> Outcome<Removal> {
    const SQL: &str = "DELETE FROM members WHERE room = ?1 AND user = ?2";
    let role = role_of(transaction, room, user)?.ok_or(StoreError::NotFound)?;
    transaction.prepare_cached(SQL)?.execute([room, user])?;
    count(transaction, room, -1)?;
    let new_owner = match concerns_owners(Some(role), None) {
        true if !has_owner(transaction, room)? => succeed(transaction, room)?,
        _ => None,
    };
    Ok(Removal { new_owner })
}

fn count(transaction: &Transaction<'_>, room: i64, change: i64) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE rooms SET member_count = member_count + ?2 WHERE no = ?1";
    transaction
        .prepare_cached(SQL)?
        .execute((room, change))
        .map(drop)
}

fn has_owner(connection: &Connection, room: i64) -> rusqlite::Result<bool> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM members WHERE room = ?1 AND role = 'owner')";
    connection
        .prepare_cached(SQL)?
        .query_row([room], |row| row.get(0))
}

/// Makes the next in the succession the owner.
fn succeed(transaction: &Transaction<'_>, room: i64) -> Outcome<Option<UserId>> {
    const SQL: &str = "
        SELECT u.no, u.id FROM members m CROSS JOIN users u ON u.no = m.user
        WHERE m.room = ?1 AND m.role = ?2 ORDER BY m.joined_at, m.user LIMIT 1";
    let mut statement = transaction.prepare_cached(SQL)?;
    for role in SUCCESSION {
        let next = statement
            .query_row((room, room_role_text(role)), |row| {
                Ok((row.get(0)?, user_id(row, 1)?))
            })
            .optional()?;
        if let Some((user, id)) = next {
            set_role(transaction, room, user, RoomRole::Owner)?;
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn set_role(
    transaction: &Transaction<'_>,
    room: i64,
    user: i64,
    role: RoomRole,
) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE members SET role = ?3 WHERE room = ?1 AND user = ?2";
    transaction
        .prepare_cached(SQL)?
        .execute((room, user, room_role_text(role)))
        .map(drop)
}
