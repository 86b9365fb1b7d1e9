//! Accounts. A deleted one keeps its row, without anything that says who it was, because messages
//! refer to it.

use protocol::{Role, RoomId, Secret, SessionId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::columns::{new_id, role, role_text, room_id, timestamp, user_cursor, user_id, user_no};
use super::message::id_list;
use super::{MessageStore, Page, members, name_index, sessions};
use crate::StoreError;
use crate::sqlite::{Outcome, Transaction};

/// What is shown of a deleted user.
const DELETED: &str = "deleted";

/// A user who isn't deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// Never changes.
    pub id: UserId,
    /// Unique without regard to case.
    pub username: String,
    /// The name that others read.
    pub display_name: String,
    /// Unique without regard to case; not for others to see.
    pub email: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// What the user may do in the whole system.
    pub role: Role,
    /// Whether the user came without registering.
    pub guest: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Unique without regard to case.
    pub username: String,
    /// The name that others read.
    pub display_name: String,
    /// Unique without regard to case.
    pub email: Option<String>,
    /// As the hash function writes it.
    pub password_hash: Secret,
}

/// A user, and what proves to be that user.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: StoredUser,
    /// Absent for guests.
    pub password_hash: Option<Secret>,
}

/// A change of what a user shows. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// The name that others read.
    pub display_name: Option<String>,
    /// Where the picture is; `Some(None)` removes it.
    pub avatar_url: Option<Option<String>>,
    /// The e-mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
}

/// What a deleted user leaves to be told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedUser {
    /// The sessions that were revoked.
    pub sessions: Vec<SessionId>,
    /// The rooms that the user was in.
    pub rooms: Vec<RoomId>,
}

macro_rules! user_columns {
    () => {
        "u.id, u.username, u.display_name, u.email, u.avatar_url, u.role, u.guest, u.created_at"
    };
}
pub(super) use user_columns;

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
    })
}

impl MessageStore {
    /// Makes an account. `Conflict` naming `username` or `email` if it is taken.
    pub async fn create_user(
        &self,
        user: NewUser,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let stored = StoredUser {
            id: UserId::trusted(new_id()),
            username: user.username,
            display_name: user.display_name,
            email: user.email,
            avatar_url: None,
            role: Role::User,
            guest: false,
            created_at: now,
        };
        let hash = user.password_hash;
        self.database
            .write(move |transaction| insert(transaction, stored, Some(hash)))
            .await
    }

    /// Makes an account without a password, under a username of the store's choice.
    pub async fn create_guest(
        &self,
        display_name: String,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let id = new_id();
        // The end of the id is its random part.
        let tail: String = id
            .chars()
            .filter(char::is_ascii_hexdigit)
            .skip(20)
            .collect();
        let stored = StoredUser {
            id: UserId::trusted(id),
            username: format!("guest-{tail}"),
            display_name,
            email: None,
            avatar_url: None,
            role: Role::User,
            guest: true,
            created_at: now,
        };
        self.database
            .write(move |transaction| insert(transaction, stored, None))
            .await
    }

    /// A user by id. `NotFound` if there is none or it was deleted.
    pub async fn user(&self, id: &UserId) -> Result<StoredUser, StoreError> {
        let id = id.clone();
        let read = move |connection: &Connection| {
            load(connection, &id)?.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    /// Users by their ids, in no certain order. Unknown and deleted ones are left out.
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

    /// A user by username, without regard to case, with the password's hash.
    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            user_columns!(),
            ", u.password_hash FROM users u WHERE u.username_key = ?1"
        );
        self.credentials_by(SQL, username.to_lowercase()).await
    }

    /// A user by id, with the password's hash. `NotFound` if there is none or it was deleted.
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
                    let hash: Option<String> = row.get(8)?;
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

    /// Users whose username or display name holds `query`, without regard to case, in the order of
    /// their ids. Of one with fewer than three characters the names must begin with it.
    /// `Invalid` naming `after` if that user never existed.
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
        const BEGINS: &str = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users u WHERE u.no IN (
                SELECT no FROM users WHERE username_key >= ?1 AND username_key < ?4
                UNION
                SELECT no FROM users WHERE display_name_key >= ?1 AND display_name_key < ?4
              ) AND u.no > ?2 ORDER BY u.no LIMIT ?3"
        );
        let (query, after) = (query.to_owned(), after.cloned());
        let read = move |connection: &Connection| {
            let after = user_cursor(connection, after.as_ref())?;
            let limit_and_one = u64::from(limit) + 1;
            let users = match name_index::holding(&query) {
                Some(expression) => connection
                    .prepare_cached(HOLDS)?
                    .query_map((expression, after, limit_and_one), from_row)?
                    .collect::<Result<_, _>>()?,
                None => {
                    let (first, end) = name_index::beginning(&query);
                    connection
                        .prepare_cached(BEGINS)?
                        .query_map((first, after, limit_and_one, end), from_row)?
                        .collect::<Result<_, _>>()?
                }
            };
            Ok(Page::cut(users, limit))
        };
        self.database.read(read).await
    }

    /// Changes what a user shows. `Conflict` naming `email` if it is taken; `NotFound` if there is
    /// no such user.
    pub async fn update_user(
        &self,
        id: &UserId,
        change: ProfileChange,
    ) -> Result<StoredUser, StoreError> {
        const SQL: &str = "
            UPDATE users SET display_name = ?2, display_name_key = ?3, avatar_url = ?4,
                email = ?5, email_key = ?6
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
            must_be_free(transaction, "", changed.email.as_deref(), no)?;
            transaction.prepare_cached(SQL)?.execute((
                no,
                &changed.display_name,
                changed.display_name.to_lowercase(),
                &changed.avatar_url,
                &changed.email,
                changed.email.as_deref().map(str::to_lowercase),
            ))?;
            name_index::put_user(transaction, no, &changed.username, &changed.display_name)?;
            Ok(changed)
        };
        self.database.write(write).await
    }

    /// Replaces a password. `NotFound` if there is no such user.
    pub async fn set_password(&self, id: &UserId, hash: Secret) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET password_hash = ?2 WHERE no = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            transaction
                .prepare_cached(SQL)?
                .execute((no, hash.expose()))?;
            Ok(())
        };
        self.database.write(write).await
    }

    /// Gives a user another role in the whole system. `NotFound` if there is no such user.
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

    /// Deletes an account: name and address are free again, sessions revoked, memberships and
    /// blocks ended. What the user wrote stays, by somebody called "deleted". `NotFound` if there
    /// is no such user.
    pub async fn delete_user(
        &self,
        id: &UserId,
        now: Timestamp,
    ) -> Result<DeletedUser, StoreError> {
        const SQL: &str = "
            UPDATE users SET username = ?2, username_key = NULL, display_name = ?2,
                display_name_key = NULL, email = NULL, email_key = NULL, avatar_url = NULL,
                role = 'user', password_hash = NULL, deleted_at = ?3
            WHERE no = ?1";
        const UNBLOCK: &str = "DELETE FROM blocks WHERE user = ?1 OR blocked = ?1";
        let id = id.clone();
        let write = move |transaction: &Transaction<'_>| {
            let no = user_no(transaction, &id)?;
            let sessions = sessions::revoke_all(transaction, no, None, now)?;
            let rooms = leave_all_rooms(transaction, no)?;
            transaction.prepare_cached(UNBLOCK)?.execute([no])?;
            transaction
                .prepare_cached(SQL)?
                .execute((no, DELETED, now.unix_ms()))?;
            name_index::remove_user(transaction, no)?;
            Ok(DeletedUser { sessions, rooms })
        };
        self.database.write(write).await
    }

    /// At most `limit` guests who came before `created_before` and have no session that is still
    /// good at `now`.
    pub async fn stale_guests(
        &self,
        created_before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "
            SELECT u.id FROM users u
            WHERE u.guest = 1 AND u.deleted_at IS NULL AND u.created_at < ?1 AND NOT EXISTS (
                SELECT 1 FROM sessions s
                WHERE s.user = u.no AND s.revoked_at IS NULL AND s.expires_at > ?2
            )
            ORDER BY u.created_at LIMIT ?3";
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let guests = statement
                .query_map((created_before.unix_ms(), now.unix_ms(), limit), |row| {
                    user_id(row, 0)
                })?;
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

fn insert(
    transaction: &Transaction<'_>,
    user: StoredUser,
    password_hash: Option<Secret>,
) -> Outcome<StoredUser> {
    const SQL: &str = "
        INSERT INTO users (id, username, username_key, display_name, display_name_key, email,
            email_key, role, guest, password_hash, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let username_key = user.username.to_lowercase();
    must_be_free(transaction, &username_key, user.email.as_deref(), 0)?;
    transaction.prepare_cached(SQL)?.execute((
        user.id.as_str(),
        &user.username,
        username_key,
        &user.display_name,
        user.display_name.to_lowercase(),
        &user.email,
        user.email.as_deref().map(str::to_lowercase),
        role_text(user.role),
        user.guest,
        password_hash.as_ref().map(Secret::expose),
        user.created_at.unix_ms(),
    ))?;
    let no = transaction.last_insert_rowid();
    name_index::put_user(transaction, no, &user.username, &user.display_name)?;
    Ok(user)
}

/// Nobody but the user of number `own` has this name or address.
fn must_be_free(
    connection: &Connection,
    username_key: &str,
    email: Option<&str>,
    own: i64,
) -> Outcome<()> {
    for (field, sql, key) in [
        (
            "username",
            "SELECT EXISTS (SELECT 1 FROM users WHERE username_key = ?1 AND no <> ?2)",
            Some(username_key.to_owned()),
        ),
        (
            "email",
            "SELECT EXISTS (SELECT 1 FROM users WHERE email_key = ?1 AND no <> ?2)",
            email.map(str::to_lowercase),
        ),
    ] {
        let taken = connection
            .prepare_cached(sql)?
            .query_row((key, own), |row| row.get(0))?;
        if taken {
            return Err(StoreError::conflict(field, "is taken").into());
        }
    }
    Ok(())
}

fn leave_all_rooms(transaction: &Transaction<'_>, user: i64) -> Outcome<Vec<RoomId>> {
    const ROOMS: &str = "
        SELECT r.no, r.id, r.deleted_at IS NULL
        FROM members m CROSS JOIN rooms r ON r.no = m.room WHERE m.user = ?1";
    let mut statement = transaction.prepare_cached(ROOMS)?;
    let rooms = statement
        .query_map([user], |row| {
            Ok((row.get(0)?, room_id(row, 1)?, row.get(2)?))
        })?
        .collect::<Result<Vec<(i64, RoomId, bool)>, _>>()?;
    let mut left = Vec::with_capacity(rooms.len());
    for (no, id, exists) in rooms {
        members::remove(transaction, no, user)?;
        if exists {
            left.push(id);
        }
    }
    Ok(left)
}
