//! Rooms: making, finding, renaming and deleting them. Their members are in `members.rs`.

use super::super::ids::{new_epoch, new_id};
use super::super::owner_rules::may_delete;
use super::super::rooms::{self, check_kind, check_pair, no_such_member};
use super::columns::{
    room_cursor, room_id, room_kind, room_kind_text, room_no, room_role_option, timestamp, user_id,
    user_no, viewer_no,
};
use super::name_index::Wanted;
use super::unread::unread;
use super::{MadeRoom, NewRoom, RoomViewer, StoredRoom};
use super::{Page, SqliteStore, blocks, members, name_index};
use crate::StoreError;
use crate::sqlite::{Failure, Outcome, Transaction};
use protocol::{Epoch, RoomId, RoomKind, RoomRole, Sender, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

/// The columns that [`from_row`] reads, from `rooms r`, its head `h`, the membership `m` of the
/// viewer and the other one `p` of a direct room.
macro_rules! room_columns {
    () => {
        concat!(
            "r.id, r.kind, r.name, r.created_at, r.member_count, h.head_seq, r.epoch, ",
            "m.role, m.read_seq, CASE WHEN m.user IS NOT NULL THEN ",
            unread!(),
            " END, p.id, p.display_name, p.guest"
        )
    };
}

/// What belongs to a room `r` for the viewer `?1`.
macro_rules! room_joins {
    () => {
        "CROSS JOIN room_heads h ON h.room = r.no
         LEFT JOIN members m ON m.room = r.no AND m.user = ?1
         LEFT JOIN users p ON p.no =
            CASE ?1 WHEN r.direct_low THEN r.direct_high WHEN r.direct_high THEN r.direct_low END"
    };
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredRoom> {
    let viewer = match room_role_option(row, 7)? {
        None => None,
        Some(role) => Some(RoomViewer {
            role,
            read_seq: row.get(8)?,
            unread: row.get(9)?,
        }),
    };
    let peer = match row.get(11)? {
        None => None,
        Some(display_name) => Some(Sender {
            id: user_id(row, 10)?,
            display_name,
            guest: row.get(12)?,
        }),
    };
    Ok(StoredRoom {
        id: room_id(row, 0)?,
        kind: room_kind(row, 1)?,
        name: row.get(2)?,
        created_at: timestamp(row, 3)?,
        member_count: row.get(4)?,
        head_seq: row.get(5)?,
        epoch: Epoch::new(row.get::<_, String>(6)?),
        viewer,
        peer,
    })
}

impl SqliteStore {
    pub async fn create_room(&self, room: NewRoom, now: Timestamp) -> Result<MadeRoom, StoreError> {
        self.database
            .write(move |transaction| create(transaction, &room, now))
            .await
    }

    pub async fn direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Result<MadeRoom, StoreError> {
        let (user, peer) = (user.clone(), peer.clone());
        self.database
            .write(move |transaction| direct(transaction, &user, &peer, now))
            .await
    }

    pub async fn room(
        &self,
        room: &RoomId,
        viewer: Option<&UserId>,
    ) -> Result<StoredRoom, StoreError> {
        let (room, viewer) = (room.clone(), viewer.cloned());
        let read = move |connection: &Connection| {
            let viewer = viewer_no(connection, viewer.as_ref())?;
            load(connection, &room, viewer)
        };
        self.database.read(read).await
    }

    pub async fn public_rooms(
        &self,
        query: Option<&str>,
        after: Option<&RoomId>,
        limit: u32,
        viewer: Option<&UserId>,
    ) -> Result<Page<StoredRoom>, StoreError> {
        const HOLDS: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms_index i CROSS JOIN rooms r ON r.no = i.rowid ",
            room_joins!(),
            " WHERE rooms_index MATCH ?4 AND i.rowid > ?2 AND r.deleted_at IS NULL
              ORDER BY i.rowid LIMIT ?3"
        );
        const HAS_PIECE: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM room_name_pieces named CROSS JOIN rooms r ON r.no = named.no ",
            room_joins!(),
            " WHERE named.piece = ?4 AND named.no > ?2 AND r.deleted_at IS NULL
              ORDER BY named.no LIMIT ?3"
        );
        const ALL: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms r ",
            room_joins!(),
            " WHERE r.kind = 'public' AND r.no > ?2 AND r.deleted_at IS NULL
              ORDER BY r.no LIMIT ?3"
        );
        let query = query.unwrap_or_default().to_owned();
        let is_search = !query.is_empty();
        let (after, viewer) = (after.cloned(), viewer.cloned());
        let read = move |connection: &Connection| {
            let viewer = viewer_no(connection, viewer.as_ref())?;
            let after = room_cursor(connection, after.as_ref())?;
            let limit_and_one = u64::from(limit) + 1;
            let named = |sql, wanted| {
                connection
                    .prepare_cached(sql)?
                    .query_map((viewer, after, limit_and_one, wanted), from_row)?
                    .collect::<rusqlite::Result<_>>()
            };
            let rooms = if query.is_empty() {
                connection
                    .prepare_cached(ALL)?
                    .query_map((viewer, after, limit_and_one), from_row)?
                    .collect::<Result<_, _>>()?
            } else {
                match Wanted::new(&query) {
                    Some(Wanted::Part(expression)) => named(HOLDS, expression)?,
                    Some(Wanted::Piece(piece)) => named(HAS_PIECE, piece)?,
                    None => Vec::new(),
                }
            };
            Ok(Page::cut(rooms, limit))
        };
        match is_search {
            true => self.database.search(read).await,
            false => self.database.read(read).await,
        }
    }

    pub async fn my_rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u32,
    ) -> Result<Page<StoredRoom>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM members own CROSS JOIN rooms r ON r.no = own.room ",
            room_joins!(),
            " WHERE own.user = ?1 AND own.room > ?2 AND r.deleted_at IS NULL
              ORDER BY own.room LIMIT ?3"
        );
        let (user, after) = (user.clone(), after.cloned());
        let read = move |connection: &Connection| {
            let user = user_no(connection, &user)?;
            let after = room_cursor(connection, after.as_ref())?;
            let mut statement = connection.prepare_cached(SQL)?;
            let rooms = statement
                .query_map((user, after, u64::from(limit) + 1), from_row)?
                .collect::<Result<_, _>>()?;
            Ok(Page::cut(rooms, limit))
        };
        self.database.read(read).await
    }

    pub async fn renew_epochs(&self) -> Result<u64, StoreError> {
        const SQL: &str = "UPDATE rooms SET epoch = lower(hex(randomblob(4)))";
        let write = |transaction: &Transaction<'_>| {
            Ok(transaction.prepare_cached(SQL)?.execute([])? as u64)
        };
        self.database.write(write).await
    }

    pub async fn rename_room(&self, room: &RoomId, name: String) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE rooms SET name = ?2 WHERE no = ?1";
        let room = room.clone();
        let write = move |transaction: &Transaction<'_>| {
            let (no, kind) = must_not_be_direct(transaction, &room)?;
            transaction.prepare_cached(SQL)?.execute((no, &name))?;
            if kind == RoomKind::Public {
                name_index::put_room(transaction, no, &name)?;
            }
            Ok(())
        };
        self.database.write(write).await
    }

    pub async fn delete_room(
        &self,
        room: &RoomId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE rooms SET deleted_at = ?2 WHERE no = ?1";
        let (room, owner) = (room.clone(), owner.clone());
        let write = move |transaction: &Transaction<'_>| {
            let no = room_no(transaction, &room)?;
            let user = user_no(transaction, &owner)?;
            may_delete(members::role_of(transaction, no, user)?)?;
            transaction
                .prepare_cached(SQL)?
                .execute((no, now.unix_ms()))?;
            name_index::remove_room(transaction, no)?;
            transaction.needs_maintenance();
            Ok(())
        };
        self.database.write(write).await
    }
}

pub(super) fn load(connection: &Connection, room: &RoomId, viewer: i64) -> Outcome<StoredRoom> {
    const SQL: &str = concat!(
        "SELECT ",
        room_columns!(),
        " FROM rooms r ",
        room_joins!(),
        " WHERE r.id = ?2 AND r.deleted_at IS NULL"
    );
    let room = connection
        .prepare_cached(SQL)?
        .query_row((viewer, room.as_str()), from_row)
        .optional()?;
    room.ok_or_else(|| StoreError::NotFound.into())
}

/// The number and kind of a room whose members and name may change.
pub(super) fn must_not_be_direct(
    connection: &Connection,
    room: &RoomId,
) -> Outcome<(i64, RoomKind)> {
    const SQL: &str = "SELECT no, kind FROM rooms WHERE id = ?1 AND deleted_at IS NULL";
    let found = connection
        .prepare_cached(SQL)?
        .query_row([room.as_str()], |row| Ok((row.get(0)?, room_kind(row, 1)?)))
        .optional()?;
    let (no, kind) = found.ok_or(StoreError::NotFound)?;
    rooms::must_not_be_direct(kind)?;
    Ok((no, kind))
}

fn create(transaction: &Transaction<'_>, room: &NewRoom, now: Timestamp) -> Outcome<MadeRoom> {
    check_kind(room.kind)?;
    let owner = user_no(transaction, &room.owner)?;
    let mut members = Vec::with_capacity(room.members.len());
    for id in room.members.iter().filter(|id| **id != room.owner) {
        let member = match user_no(transaction, id) {
            Err(Failure::Refused(StoreError::NotFound)) => {
                return Err(no_such_member().into());
            }
            member => member?,
        };
        if blocks::between(transaction, owner, member)? {
            return Err(StoreError::Forbidden.into());
        }
        members.push((id, member));
    }
    let (no, id) = insert(transaction, room.kind, &room.name, None, now)?;
    if room.kind == RoomKind::Public {
        name_index::put_room(transaction, no, &room.name)?;
    }
    members::add(transaction, no, owner, RoomRole::Owner, now)?;
    let mut joined = Vec::with_capacity(members.len());
    for (member, number) in members {
        if members::add(transaction, no, number, RoomRole::Member, now)? {
            joined.push(member.clone());
        }
    }
    let room = load(transaction, &id, owner)?;
    Ok(MadeRoom { room, joined })
}

fn direct(
    transaction: &Transaction<'_>,
    user: &UserId,
    peer: &UserId,
    now: Timestamp,
) -> Outcome<MadeRoom> {
    const FIND: &str = "SELECT no, id FROM rooms WHERE direct_low = ?1 AND direct_high = ?2";
    check_pair(user, peer)?;
    let own = user_no(transaction, user)?;
    let other = user_no(transaction, peer)?;
    if blocks::between(transaction, own, other)? {
        return Err(StoreError::Forbidden.into());
    }
    let pair = (own.min(other), own.max(other));
    let found = transaction
        .prepare_cached(FIND)?
        .query_row(pair, |row| Ok((row.get(0)?, room_id(row, 1)?)))
        .optional()?;
    let is_new = found.is_none();
    let (no, id) = match found {
        Some(room) => room,
        None => insert(transaction, RoomKind::Direct, "", Some(pair), now)?,
    };
    let mut joined = Vec::new();
    for (member, number) in [(user, own), (peer, other)] {
        let added = members::add(transaction, no, number, RoomRole::Member, now)?;
        if added && !(is_new && number == own) {
            joined.push(member.clone());
        }
    }
    let room = load(transaction, &id, own)?;
    Ok(MadeRoom { room, joined })
}

fn insert(
    transaction: &Transaction<'_>,
    kind: RoomKind,
    name: &str,
    pair: Option<(i64, i64)>,
    now: Timestamp,
) -> Outcome<(i64, RoomId)> {
    const SQL: &str = "
        INSERT INTO rooms
            (id, kind, name, created_at, epoch, member_count, direct_low, direct_high)
        VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)";
    let id = new_id();
    let epoch = new_epoch();
    transaction.prepare_cached(SQL)?.execute((
        &id,
        room_kind_text(kind),
        name,
        now.unix_ms(),
        epoch,
        pair.map(|(low, _)| low),
        pair.map(|(_, high)| high),
    ))?;
    Ok((transaction.last_insert_rowid(), RoomId::trusted(id)))
}
