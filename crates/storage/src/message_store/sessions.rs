//! Sessions: one sign-in of one device, kept alive by refresh tokens of which only hashes are here.
//!
//! The successor of a refresh token must be derived from the token and a secret of the server, so
//! that the same token always has the same successor: then a client whose answer got lost can ask
//! again and get the same one, although the store never knew it.

use std::fmt;

use protocol::{SessionId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::MessageStore;
use super::columns::{timestamp, timestamp_option, user_id, user_no};
use crate::StoreError;
use crate::sqlite::{Outcome, Transaction};

/// Sessions of one user that are good at the same time; a new one ends the oldest.
const SESSIONS_PER_USER: usize = 20;

/// How long a refresh token may be presented again after it was used, in milliseconds: the time in
/// which a client notices that the answer was lost.
const REPEAT_MS: i64 = 30_000;

/// Sessions that one call removes for good.
const PURGE: u32 = 1_000;

/// SHA-256 of a refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// One sign-in of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Never changes.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the device called itself.
    pub device: String,
    /// The network address it was last seen at.
    pub address: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// A session to be made.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Made by the caller, whose tokens name it.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the device calls itself.
    pub device: String,
    /// The network address.
    pub address: String,
    /// Of the first refresh token.
    pub refresh: TokenHash,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// A refresh token on its way to its successor.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The session that the token names.
    pub session_id: SessionId,
    /// Of the token. The caller has made sure that the server issued it: a token that is neither
    /// the present one nor the one before ends the session, and a guess must not.
    pub presented: TokenHash,
    /// Of its successor.
    pub successor: TokenHash,
    /// The network address that it came from.
    pub address: String,
    /// When the session ends from now on.
    pub expires_at: Timestamp,
}

/// What became of a [`Refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// The successor is the token from now on.
    Rotated(StoredSession),
    /// The token was used less than 30 s ago; its successor is still the token.
    Repeated(StoredSession),
    /// The token was used before, so somebody has a copy: the session is revoked now.
    Reused(StoredSession),
}

/// When and where a session was seen.
#[derive(Debug, Clone)]
pub struct SessionSeen {
    /// The session.
    pub id: SessionId,
    /// When.
    pub at: Timestamp,
    /// The network address.
    pub address: String,
}

macro_rules! session_columns {
    () => {
        "s.id, u.id, s.device, s.address, s.created_at, s.last_seen_at, s.expires_at"
    };
}

fn session_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    row.get::<_, String>(column).map(SessionId::trusted)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    Ok(StoredSession {
        id: session_id(row, 0)?,
        user_id: user_id(row, 1)?,
        device: row.get(2)?,
        address: row.get(3)?,
        created_at: timestamp(row, 4)?,
        last_seen_at: timestamp(row, 5)?,
        expires_at: timestamp(row, 6)?,
    })
}

impl MessageStore {
    /// Makes a session and returns those that it ended: of more than 20 the ones last seen
    /// earliest. `NotFound` if there is no such user.
    pub async fn create_session(
        &self,
        session: NewSession,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        const SQL: &str = "
            INSERT INTO sessions
                (id, user, device, address, created_at, last_seen_at, expires_at, refresh_hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)";
        const LIVE: &str = "
            SELECT id FROM sessions WHERE user = ?1 AND revoked_at IS NULL AND expires_at > ?2
            ORDER BY last_seen_at, created_at, id";
        let write = move |transaction: &Transaction<'_>| {
            let user = user_no(transaction, &session.user_id)?;
            let mut statement = transaction.prepare_cached(LIVE)?;
            let mut live = statement
                .query_map((user, now.unix_ms()), |row| session_id(row, 0))?
                .collect::<Result<Vec<_>, _>>()?;
            live.truncate((live.len() + 1).saturating_sub(SESSIONS_PER_USER));
            for ended in &live {
                revoke(transaction, user, ended, now)?;
            }
            transaction.prepare_cached(SQL)?.execute((
                session.id.as_str(),
                user,
                &session.device,
                &session.address,
                now.unix_ms(),
                session.expires_at.unix_ms(),
                session.refresh.0,
            ))?;
            Ok(live)
        };
        self.database.write(write).await
    }

    /// Exchanges a refresh token for its successor. `NotFound` if the session isn't good any
    /// more, or if the caller derives successors by another secret than before.
    pub async fn refresh_session(
        &self,
        refresh: Refresh,
        now: Timestamp,
    ) -> Result<Refreshed, StoreError> {
        self.database
            .write(move |transaction| rotate(transaction, &refresh, now))
            .await
    }

    /// A session that is good at `now`. `NotFound` if it isn't.
    pub async fn session(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<StoredSession, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions s CROSS JOIN users u ON u.no = s.user
              WHERE s.id = ?1 AND s.revoked_at IS NULL AND s.expires_at > ?2"
        );
        let id = id.clone();
        let read = move |connection: &Connection| {
            let session = connection
                .prepare_cached(SQL)?
                .query_row((id.as_str(), now.unix_ms()), from_row)
                .optional()?;
            session.ok_or_else(|| StoreError::NotFound.into())
        };
        self.database.read(read).await
    }

    /// The sessions of a user that are good at `now`, at most 20, the last seen first.
    pub async fn sessions(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<StoredSession>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            session_columns!(),
            " FROM users u CROSS JOIN sessions s ON s.user = u.no
              WHERE u.id = ?1 AND s.revoked_at IS NULL AND s.expires_at > ?2
              ORDER BY s.last_seen_at DESC, s.created_at DESC, s.id DESC"
        );
        let user = user.clone();
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let sessions = statement.query_map((user.as_str(), now.unix_ms()), from_row)?;
            Ok(sessions.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    /// Notes when and where sessions were last seen, many at once; unknown ones are skipped, and
    /// an earlier time doesn't replace a later one.
    pub async fn touch_sessions(&self, seen: Vec<SessionSeen>) -> Result<(), StoreError> {
        const SQL: &str = "
            UPDATE sessions SET last_seen_at = ?2, address = ?3 WHERE id = ?1 AND last_seen_at < ?2";
        let write = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(SQL)?;
            for seen in &seen {
                statement.execute((seen.id.as_str(), seen.at.unix_ms(), &seen.address))?;
            }
            Ok(())
        };
        self.database.write(write).await
    }

    /// Revokes one session of a user. `NotFound` if it isn't a good one of that user.
    pub async fn revoke_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (user, session) = (user.clone(), session.clone());
        let write = move |transaction: &Transaction<'_>| {
            let user = user_no(transaction, &user)?;
            if revoke(transaction, user, &session, now)? {
                Ok(())
            } else {
                Err(StoreError::NotFound.into())
            }
        };
        self.database.write(write).await
    }

    /// Revokes the sessions of a user, but for `except`, and returns which. `NotFound` if there is
    /// no such user.
    pub async fn revoke_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let (user, except) = (user.clone(), except.cloned());
        let write = move |transaction: &Transaction<'_>| {
            let user = user_no(transaction, &user)?;
            revoke_all(transaction, user, except.as_ref(), now)
        };
        self.database.write(write).await
    }

    /// The sessions that were revoked at `since` or later, with when.
    pub async fn revoked_sessions(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        const SQL: &str = "SELECT id, revoked_at FROM sessions WHERE revoked_at >= ?1";
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let revoked = statement.query_map([since.unix_ms()], |row| {
                Ok((session_id(row, 0)?, timestamp(row, 1)?))
            })?;
            Ok(revoked.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

    /// Removes sessions that were revoked or had expired before `before`, at most 1,000, and says
    /// how many.
    pub async fn purge_sessions(&self, before: Timestamp) -> Result<usize, StoreError> {
        // Looking through them all is for a reader, not for the thread that everybody waits for.
        const FIND: &str = "
            SELECT id FROM sessions WHERE expires_at < ?1 OR revoked_at < ?1 LIMIT ?2";
        const SQL: &str = "
            DELETE FROM sessions WHERE id = ?1 AND (expires_at < ?2 OR revoked_at < ?2)";
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(FIND)?;
            let ended = statement.query_map((before.unix_ms(), PURGE), |row| row.get(0))?;
            Ok(ended.collect::<Result<Vec<String>, _>>()?)
        };
        let ended = self.database.read(read).await?;
        if ended.is_empty() {
            return Ok(0);
        }
        let write = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(SQL)?;
            let mut purged = 0;
            for id in &ended {
                purged += statement.execute((id, before.unix_ms()))?;
            }
            Ok(purged)
        };
        self.database.write(write).await
    }
}

fn rotate(transaction: &Transaction<'_>, refresh: &Refresh, now: Timestamp) -> Outcome<Refreshed> {
    const FIND: &str = concat!(
        "SELECT ",
        session_columns!(),
        ", s.user, s.refresh_hash, s.previous_hash, s.rotated_at
          FROM sessions s CROSS JOIN users u ON u.no = s.user
          WHERE s.id = ?1 AND s.revoked_at IS NULL AND s.expires_at > ?2"
    );
    const ROTATE: &str = "
        UPDATE sessions SET previous_hash = refresh_hash, refresh_hash = ?2, rotated_at = ?3,
            last_seen_at = ?3, address = ?4, expires_at = ?5
        WHERE id = ?1";
    let found = transaction
        .prepare_cached(FIND)?
        .query_row((refresh.session_id.as_str(), now.unix_ms()), |row| {
            let current = TokenHash(row.get(8)?);
            let previous = row.get::<_, Option<[u8; 32]>>(9)?.map(TokenHash);
            let rotated_at = timestamp_option(row, 10)?;
            Ok((
                from_row(row)?,
                row.get(7)?,
                current,
                previous.zip(rotated_at),
            ))
        })
        .optional()?;
    let (mut session, user, current, previous) = found.ok_or(StoreError::NotFound)?;
    if refresh.presented == current {
        session.last_seen_at = now;
        session.address.clone_from(&refresh.address);
        session.expires_at = refresh.expires_at;
        transaction.prepare_cached(ROTATE)?.execute((
            session.id.as_str(),
            refresh.successor.0,
            now.unix_ms(),
            &session.address,
            session.expires_at.unix_ms(),
        ))?;
        return Ok(Refreshed::Rotated(session));
    }
    let repeated = previous.is_some_and(|(hash, rotated_at)| {
        hash == refresh.presented && now.unix_ms() - rotated_at.unix_ms() <= REPEAT_MS
    });
    if !repeated {
        revoke(transaction, user, &session.id, now)?;
        return Ok(Refreshed::Reused(session));
    }
    if refresh.successor == current {
        Ok(Refreshed::Repeated(session))
    } else {
        Err(StoreError::NotFound.into())
    }
}

fn revoke(
    connection: &Connection,
    user: i64,
    session: &SessionId,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    const SQL: &str = "
        UPDATE sessions SET revoked_at = ?3
        WHERE id = ?1 AND user = ?2 AND revoked_at IS NULL AND expires_at > ?3";
    let row = (session.as_str(), user, now.unix_ms());
    Ok(connection.prepare_cached(SQL)?.execute(row)? > 0)
}

/// Revokes the sessions of a user, but for `except`.
pub(super) fn revoke_all(
    connection: &Connection,
    user: i64,
    except: Option<&SessionId>,
    now: Timestamp,
) -> Outcome<Vec<SessionId>> {
    const SQL: &str = "
        UPDATE sessions SET revoked_at = ?3
        WHERE user = ?1 AND id IS NOT ?2 AND revoked_at IS NULL AND expires_at > ?3
        RETURNING id";
    let mut statement = connection.prepare_cached(SQL)?;
    let except = except.map(SessionId::as_str);
    let revoked = statement.query_map((user, except, now.unix_ms()), |row| session_id(row, 0))?;
    Ok(revoked.collect::<Result<_, _>>()?)
}
