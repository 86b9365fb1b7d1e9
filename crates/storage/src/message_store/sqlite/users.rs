//! Accounts. A deleted one keeps its row, without anything that identifies its user, because messages
//! refer to it.

use super::columns::{
    role, role_text, room_id, timestamp, timestamp_option, user_cursor, user_id, user_no,
};
use super::message::id_list;
use super::name_index::Wanted;
use super::{
    Credentials, Departure, ExternalSignIn, ExternalSignedIn, ExternalUser, NewUser, ProfileChange,
    StoredUser, changed_meanwhile,
};
use super::{Page, SqliteStore, members, name_index};
use crate::StoreError;
use crate::sqlite::{Outcome, Transaction};
use protocol::{Role, Secret, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

/// What is shown of a deleted user.
const DELETED: &str = "deleted";

macro_rules! user_columns {
    () => {
        concat!(
            "u.id, u.username, u.display_name, u.email, u.avatar_url, u.role, u.guest, u.created_at, ",
            "u.sign_in_version, u.external_claims_at, u.external_valid_from"
        )
    };
}

pub(super) use user_columns;

/// How many columns these are: others come behind them.
pub(super) const USER_COLUMNS: usize = 11;

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredUser> {
    Ok(StoredUser {
        id: user_id(row, 0)?,
        username: row.get(1)?,
        display_name: row.get(2)?,
        email: row.get(3)?,
        avatar_url: row.get(4)?,
        role: role(row, 5)?,
        guest: row.get(6)?,
        created_at: timestamp(row, 7)?,
        sign_in_version: row.get(8)?,
        external: timestamp_option(row, 9)?
            .zip(timestamp_option(row, 10)?)
            .map(|(claims_at, valid_from)| ExternalSignIn {
                claims_at,
                valid_from,
            }),
    })
}

impl SqliteStore {
    pub async fn create_user(
        &self,
        user: NewUser,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let stored = StoredUser::registered(&user, now);
        let hash = user.password_hash;
        self.database
            .write(move |transaction| insert(transaction, stored, Some(hash)))
            .await
    }

    pub async fn create_guest(
        &self,
        display_name: String,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let stored = StoredUser::guest(display_name, now);
        self.database
            .write(move |transaction| insert(transaction, stored, None))
            .await
    }

    pub async fn sign_in_external(
        &self,
        user: ExternalUser,
        now: Timestamp,
    ) -> Result<ExternalSignedIn, StoreError> {
        self.database
            .write(move |transaction| sign_in_external(transaction, user, now))
            .await
    }

    pub async fn end_external_tokens(
        &self,
        id: &UserId,
        valid_from: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "
            UPDATE users SET external_valid_from = max(external_valid_from, ?2)
            WHERE id = ?1 AND external_valid_from IS NOT NULL AND deleted_at IS NULL";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let row = (id.as_str(), valid_from.unix_ms());
            match transaction.prepare_cached(SQL)?.execute(row)? {
                0 => Err(StoreError::NotFound.into()),
                _ => Ok(()),
            }
        };
        self.database.write(write).await
    }

    pub async fn user(&self, id: &UserId) -> Result<StoredUser, StoreError> {
        let id = id.clone();
        let read = move |connection: &Connection| {
            load(connection, &id)?.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            " FROM json_each(?1) e CROSS JOIN users u ON u.id = e.value
              WHERE u.deleted_at IS NULL"
        );
        let ids = id_list(ids);
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let users = statement.query_map([ids], from_row)?;
            Ok(users.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", u.password_hash FROM users u WHERE u.username_key = ?1"
        );
        self.credentials_by(SQL, username.to_lowercase()).await
    }

    pub async fn credentials_of(&self, id: &UserId) -> Result<Credentials, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", u.password_hash FROM users u WHERE u.id = ?1 AND u.deleted_at IS NULL"
        );
        let found = self.credentials_by(SQL, id.to_string()).await?;
        found.ok_or(StoreError::NotFound)
    }

    async fn credentials_by(
        &self,
        sql: &'static str,
        key: String,
    ) -> Result<Option<Credentials>, StoreError> {
        let read = move |connection: &Connection| {
            let credentials = connection
                .prepare_cached(sql)?
                .query_row([key], |row| {
                    let hash: Option<String> = row.get(USER_COLUMNS)?;
                    Ok(Credentials {
                        user: from_row(row)?,
                        password_hash: hash.map(Secret::from),
                    })
                })
                .optional()?;
            Ok(credentials)
        };
        self.database.read(read).await
    }

    pub async fn find_users(
        &self,
        query: &str,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredUser>, StoreError> {
        const HOLDS: &str = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users_index i CROSS JOIN users u ON u.no = i.rowid
              WHERE users_index MATCH ?1 AND i.rowid > ?2 ORDER BY i.rowid LIMIT ?3"
        );
        const HAS_PIECE: &str = concat!(
            "SELECT ",
            user_columns!(),
            " FROM user_name_pieces p CROSS JOIN users u ON u.no = p.no
              WHERE p.piece = ?1 AND p.no > ?2 ORDER BY p.no LIMIT ?3"
        );
        let (wanted, after) = (Wanted::new(query), after.cloned());
        let read = move |connection: &Connection| {
            let after = user_cursor(connection, after.as_ref())?;
            let (sql, wanted) = match wanted {
                Some(Wanted::Part(expression)) => (HOLDS, expression),
                Some(Wanted::Piece(piece)) => (HAS_PIECE, piece),
                None => return Ok(Page::cut(Vec::new(), limit)),
            };
            let users = connection
                .prepare_cached(sql)?
                .query_map((wanted, after, u64::from(limit) + 1), from_row)?
                .collect::<Result<_, _>>()?;
            Ok(Page::cut(users, limit))
        };
        self.database.search(read).await
    }

    pub async fn update_user(
        &self,
        id: &UserId,
        change: ProfileChange,
    ) -> Result<StoredUser, StoreError> {
        const SQL: &str = "
            UPDATE users SET display_name = ?2, avatar_url = ?3, email = ?4
            WHERE no = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            let user = load(transaction, &id)?.ok_or(StoreError::NotFound)?;
            let changed = StoredUser {
                display_name: change.display_name.unwrap_or(user.display_name),
                avatar_url: change.avatar_url.unwrap_or(user.avatar_url),
                email: change.email.unwrap_or(user.email),
                ..user
            };
            transaction.prepare_cached(SQL)?.execute((
                no,
                &changed.display_name,
                &changed.avatar_url,
                &changed.email,
            ))?;
            name_index::put_user(transaction, no, &changed.username, &changed.display_name)?;
            Ok(changed)
        };
        self.database.write(write).await
    }

    pub async fn set_password(
        &self,
        id: &UserId,
        sign_in_version: u64,
        hash: Secret,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "
            UPDATE users SET password_hash = ?3, sign_in_version = ?2 + 1
            WHERE no = ?1 AND sign_in_version = ?2";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            let row = (no, sign_in_version, hash.expose());
            match transaction.prepare_cached(SQL)?.execute(row)? {
                0 => Err(changed_meanwhile().into()),
                _ => Ok(sign_in_version + 1),
            }
        };
        self.database.write(write).await
    }

    pub async fn set_user_role(&self, id: &UserId, role: Role) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET role = ?2 WHERE no = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            transaction
                .prepare_cached(SQL)?
                .execute((no, role_text(role)))?;
            Ok(())
        };
        self.database.write(write).await
    }

    pub async fn delete_user(
        &self,
        id: &UserId,
        now: Timestamp,
    ) -> Result<Vec<Departure>, StoreError> {
        const SQL: &str = "
            UPDATE users SET username = ?2, username_key = NULL, display_name = ?2, email = NULL, avatar_url = NULL,
                role = 'user', password_hash = NULL, deleted_at = ?3
            WHERE no = ?1";
        const UNBLOCK: &str = "DELETE FROM blocks WHERE user = ?1 OR blocked = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            let rooms = leave_all_rooms(transaction, no)?;
            transaction.prepare_cached(UNBLOCK)?.execute([no])?;
            transaction
                .prepare_cached(SQL)?
                .execute((no, DELETED, now.unix_ms()))?;
            name_index::remove_user(transaction, no)?;
            Ok(rooms)
        };
        self.database.write(write).await
    }

    pub async fn guests(
        &self,
        created_before: Timestamp,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        const AFTER: &str = "SELECT created_at, no FROM users WHERE id = ?1";
        const SQL: &str = "
            SELECT u.id FROM users u
            WHERE u.guest = 1 AND u.deleted_at IS NULL AND u.created_at < ?1
                AND (u.created_at, u.no) > (?2, ?3)
            ORDER BY u.created_at, u.no LIMIT ?4";
        let after = after.cloned();
        let read = move |connection: &Connection| {
            let (came, no): (i64, i64) = match after {
                None => (i64::MIN, 0),
                Some(id) => connection
                    .prepare_cached(AFTER)?
                    .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?
                    .ok_or_else(|| StoreError::invalid("after", "no such user"))?,
            };
            let mut statement = connection.prepare_cached(SQL)?;
            let row = (created_before.unix_ms(), came, no, limit);
            let guests = statement.query_map(row, |row| user_id(row, 0))?;
            Ok(guests.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }
}

fn load(connection: &Connection, id: &UserId) -> Outcome<Option<StoredUser>> {
    const SQL: &str = concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.id = ?1 AND u.deleted_at IS NULL"
    );
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([id.as_str()], from_row)
        .optional()?)
}

fn sign_in_external(
    transaction: &Transaction<'_>,
    user: ExternalUser,
    now: Timestamp,
) -> Outcome<ExternalSignedIn> {
    const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1)";
    const SQL: &str = "
        UPDATE users SET display_name = ?2, role = ?3, external_claims_at = ?4 WHERE id = ?1";
    let Some(known) = load(transaction, &user.id)? else {
        let was_deleted = transaction
            .prepare_cached(EXISTS)?
            .query_row([user.id.as_str()], |row| row.get(0))?;
        if was_deleted {
            return Err(StoreError::NotFound.into());
        }
        let user = insert(transaction, StoredUser::external(&user, now), None)?;
        return Ok(ExternalSignedIn { user, shown: true });
    };
    let external = known.external.ok_or(StoreError::NotFound)?;
    if !user.changes(&known) {
        return Ok(ExternalSignedIn {
            user: known,
            shown: false,
        });
    }
    let before = (known.display_name.clone(), known.role);
    let changed = StoredUser {
        display_name: user.display_name.unwrap_or(known.display_name),
        role: user.role.unwrap_or(known.role),
        external: Some(ExternalSignIn {
            claims_at: user.issued_at,
            ..external
        }),
        ..known
    };
    transaction.prepare_cached(SQL)?.execute((
        changed.id.as_str(),
        &changed.display_name,
        role_text(changed.role),
        user.issued_at.unix_ms(),
    ))?;
    let no = user_no(transaction, &changed.id)?;
    name_index::put_user(transaction, no, &changed.username, &changed.display_name)?;
    let shown = before.0 != changed.display_name || before.1 != changed.role;
    Ok(ExternalSignedIn {
        user: changed,
        shown,
    })
}

fn insert(
    transaction: &Transaction<'_>,
    user: StoredUser,
    password_hash: Option<Secret>,
) -> Outcome<StoredUser> {
    const SQL: &str = "
        INSERT INTO users (id, username, username_key, display_name, email, role, guest,
            password_hash, created_at, external_claims_at, external_valid_from)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let username_key = user.username.to_lowercase();
    must_be_free(transaction, &username_key)?;
    transaction.prepare_cached(SQL)?.execute((
        user.id.as_str(),
        &user.username,
        username_key,
        &user.display_name,
        &user.email,
        role_text(user.role),
        user.guest,
        password_hash.as_ref().map(Secret::expose),
        user.created_at.unix_ms(),
        user.external.map(|external| external.claims_at.unix_ms()),
        user.external.map(|external| external.valid_from.unix_ms()),
    ))?;
    let no = transaction.last_insert_rowid();
    name_index::put_user(transaction, no, &user.username, &user.display_name)?;
    Ok(user)
}

/// Nobody has this name.
fn must_be_free(connection: &Connection, username_key: &str) -> Outcome<()> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE username_key = ?1)";
    let taken = connection
        .prepare_cached(SQL)?
        .query_row([username_key], |row| row.get(0))?;
    if taken {
        return Err(StoreError::conflict("username", "is taken").into());
    }
    Ok(())
}

fn leave_all_rooms(transaction: &Transaction<'_>, user: i64) -> Outcome<Vec<Departure>> {
    const ROOMS: &str = "
        SELECT r.no, r.id, r.deleted_at IS NULL
        FROM members m CROSS JOIN rooms r ON r.no = m.room WHERE m.user = ?1";
    let mut statement = transaction.prepare_cached(ROOMS)?;
    let rooms = statement
        .query_map([user], |row| {
            Ok((row.get(0)?, room_id(row, 1)?, row.get(2)?))
        })?
        .collect::<Result<Vec<(i64, _, bool)>, _>>()?;
    let mut left = Vec::with_capacity(rooms.len());
    for (no, room, exists) in rooms {
        let removal = members::remove(transaction, no, user)?;
        if exists {
            left.push(Departure { room, removal });
        }
    }
    Ok(left)
}
