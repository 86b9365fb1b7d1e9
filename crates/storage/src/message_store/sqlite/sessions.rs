//! Sessions in the embedded store's file. What was rotated stays so: the successor of the present token isn't kept.

use super::SqliteStore;
use super::columns::{timestamp, timestamp_option, user_id, user_no};
use super::message::id_list;
use crate::StoreError;
use crate::sessions::{
    NewSession, REPEAT_MS, Refresh, Refreshed, SESSIONS_PER_USER, SessionCounts, SessionRef,
    SessionSeen, StoredSession, TokenHash,
};
use crate::sqlite::{Outcome, Transaction};
use protocol::{SessionId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

/// Sessions that one call removes for good.
const PURGE: u32 = 1_000;

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

impl SqliteStore {
    pub async fn create_session(
        &self,
        session: NewSession,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        const SQL: &str = "
            INSERT INTO sessions
                (id, user, device, address, created_at, last_seen_at, expires_at, refresh_hash,
                 sign_in_version)
            SELECT ?1, no, ?3, ?4, ?5, ?5, ?6, ?7, ?8 FROM users WHERE no = ?2 AND sign_in_version <= ?8";
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
            let made = transaction.prepare_cached(SQL)?.execute((
                session.id.as_str(),
                user,
                &session.device,
                &session.address,
                now.unix_ms(),
                session.expires_at.unix_ms(),
                session.refresh.0,
                session.sign_in_version,
            ))?;
            if made == 0 {
                return Err(StoreError::NotFound.into());
            }
            Ok(live)
        };
        self.database.write(write).await
    }

    pub async fn refresh_session(
        &self,
        refresh: Refresh,
        now: Timestamp,
    ) -> Result<Refreshed, StoreError> {
        self.database
            .write(move |transaction| rotate(transaction, &refresh, now))
            .await
    }

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

    pub async fn revoke_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        sign_in_version: u64,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        const KEEP: &str = "
            UPDATE sessions SET sign_in_version = max(sign_in_version, ?2) WHERE id = ?1";
        const SQL: &str = "
            UPDATE sessions SET revoked_at = ?3
            WHERE user = (SELECT no FROM users WHERE id = ?1) AND id IS NOT ?2
                AND revoked_at IS NULL AND expires_at > ?3
            RETURNING id";
        let (user, except) = (user.clone(), except.cloned());
        let write = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(SQL)?;
            let except = except.as_ref().map(SessionId::as_str);
            transaction
                .prepare_cached(KEEP)?
                .execute((except, sign_in_version))?;
            let revoked = statement.query_map((user.as_str(), except, now.unix_ms()), |row| {
                session_id(row, 0)
            })?;
            Ok(revoked.collect::<Result<_, _>>()?)
        };
        self.database.write(write).await
    }

    pub async fn good_sessions(
        &self,
        sessions: Vec<SessionRef>,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        const SQL: &str = "
            SELECT s.expires_at FROM sessions s CROSS JOIN users u ON u.no = s.user
            WHERE s.id = ?1 AND u.id = ?2 AND u.deleted_at IS NULL
                AND s.revoked_at IS NULL AND s.expires_at > ?3
                AND s.sign_in_version >= max(u.sign_in_version, ?4)";
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let mut good = Vec::with_capacity(sessions.len());
            for session in sessions {
                let wanted = (
                    session.id.as_str(),
                    session.user_id.as_str(),
                    now.unix_ms(),
                    session.sign_in_version,
                );
                let found = statement.query_row(wanted, |row| timestamp(row, 0));
                if let Some(expires_at) = found.optional()? {
                    good.push((session.id, expires_at));
                }
            }
            Ok(good)
        };
        self.database.read(read).await
    }

    pub async fn without_sessions(
        &self,
        users: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "
            SELECT e.value FROM json_each(?1) e WHERE NOT EXISTS (
                SELECT 1 FROM users u CROSS JOIN sessions s ON s.user = u.no
                WHERE u.id = e.value AND s.revoked_at IS NULL AND s.expires_at > ?2
            )";
        let users = id_list(&users);
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let without = statement.query_map((users, now.unix_ms()), |row| user_id(row, 0))?;
            Ok(without.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
    }

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

    pub async fn count_sessions(&self, now: Timestamp) -> Result<SessionCounts, StoreError> {
        const SQL: &str = "
            SELECT count(*) FILTER (WHERE revoked_at IS NULL AND expires_at > ?1), count(*) FROM sessions";
        let read = move |connection: &Connection| {
            let count = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (live, all): (u64, u64) = connection
                .prepare_cached(SQL)?
                .query_row([now.unix_ms()], count)?;
            Ok(SessionCounts {
                live,
                ended: all.saturating_sub(live),
            })
        };
        self.database.read(read).await
    }

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
          WHERE s.id = ?1 AND u.id = ?3 AND s.revoked_at IS NULL AND s.expires_at > ?2
              AND s.sign_in_version >= max(u.sign_in_version, ?4)"
    );
    const ROTATE: &str = "
        UPDATE sessions SET previous_hash = refresh_hash, refresh_hash = ?2, rotated_at = ?3,
            last_seen_at = ?3, address = ?4, expires_at = ?5
        WHERE id = ?1";
    let wanted = (
        refresh.session_id.as_str(),
        now.unix_ms(),
        refresh.user_id.as_str(),
        refresh.sign_in_version,
    );
    let found = transaction
        .prepare_cached(FIND)?
        .query_row(wanted, |row| {
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
