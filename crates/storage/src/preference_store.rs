//! How users want to be told of what happens: in general, and in single rooms.

use protocol::{RoomId, UserId};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Row, Sql, Statement};

/// How a user wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPreferences {
    /// Whether by mail.
    pub mail: bool,
    /// Whether by push.
    pub push: bool,
    /// When not to be disturbed.
    pub quiet_hours: Option<StoredQuietHours>,
    /// The language of mails, as in `es`; unknown unless the user has said it.
    pub language: Option<String>,
}

/// What changes of a user's preferences; the others stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreferencesChange {
    /// Whether by mail.
    pub mail: Option<bool>,
    /// Whether by push.
    pub push: Option<bool>,
    /// When not to be disturbed; `Some(None)` is never.
    pub quiet_hours: Option<Option<StoredQuietHours>>,
    /// The language of mails.
    pub language: Option<String>,
}

/// A part of each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuietHours {
    /// Minutes after midnight.
    pub from: u32,
    /// Minutes after midnight; before `from` it is on the next day.
    pub to: u32,
    /// A name of the time zone database.
    pub time_zone: String,
}

impl Default for StoredPreferences {
    /// Those of who hasn't said anything.
    fn default() -> Self {
        Self {
            mail: true,
            push: true,
            quiet_hours: None,
            language: None,
        }
    }
}

/// Users whose preferences for one room are read at most: those that want everything come first.
const PER_READ: u32 = 20_000;

/// Preferences, durable. Cloning shares them.
#[derive(Clone)]
pub struct PreferenceStore {
    sql: Sql,
}

impl PreferenceStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// A user's; the default ones of who hasn't said anything.
    pub async fn of(&self, user: &UserId) -> Result<StoredPreferences, StoreError> {
        const SELECT: &str = "
            SELECT mail, push, quiet_from, quiet_to, time_zone, language
            FROM notification_preferences WHERE user_id = $1";
        let select = Statement::new(SELECT).bind(user);
        let rows = self
            .sql
            .read(Freshness::OwnWrites(user.as_str()), select)
            .await?;
        rows.first()
            .map_or(Ok(StoredPreferences::default()), preferences)
    }

    /// Changes some of a user's and returns all of them. What others change at the same time stays.
    pub async fn change(
        &self,
        user: &UserId,
        change: &PreferencesChange,
    ) -> Result<StoredPreferences, StoreError> {
        let given = [
            (change.mail.is_some(), "mail = excluded.mail"),
            (change.push.is_some(), "push = excluded.push"),
            (
                change.quiet_hours.is_some(),
                "quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, time_zone = excluded.time_zone",
            ),
            (change.language.is_some(), "language = excluded.language"),
        ];
        let given = given.iter().filter(|(is_given, _)| *is_given);
        let given: Vec<_> = given.map(|(_, columns)| *columns).collect();
        if given.is_empty() {
            return self.of(user).await;
        }
        let upsert = format!(
            "INSERT INTO notification_preferences (user_id, mail, push, quiet_from, quiet_to, time_zone, language)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (user_id) DO UPDATE SET {}
             RETURNING mail, push, quiet_from, quiet_to, time_zone, language",
            given.join(", ")
        );
        let default = StoredPreferences::default();
        let quiet = change.quiet_hours.as_ref().and_then(Option::as_ref);
        let upsert = Statement::new(upsert)
            .bind(user)
            .bind(change.mail.unwrap_or(default.mail))
            .bind(change.push.unwrap_or(default.push))
            .bind(quiet.map(|hours| hours.from))
            .bind(quiet.map(|hours| hours.to))
            .bind(quiet.map(|hours| hours.time_zone.as_str()))
            .bind(change.language.as_deref());
        let written = self.sql.write(Some(user.as_str()), vec![upsert]).await?;
        let rows = written.into_last_rows();
        rows.first().map_or(Ok(default), preferences)
    }

    /// Forgets a user's.
    pub async fn forget(&self, user: &UserId) -> Result<(), StoreError> {
        let delete = "DELETE FROM notification_preferences WHERE user_id = $1";
        let delete = Statement::new(delete).bind(user);
        self.sql.write(Some(user.as_str()), vec![delete]).await?;
        Ok(())
    }

    /// What a user wants to be told of in a room; `None` if that wasn't said.
    pub async fn in_room(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<String>, StoreError> {
        let select = "SELECT notify FROM room_preferences WHERE room_id = $1 AND user_id = $2";
        let select = Statement::new(select).bind(room).bind(user);
        let rows = self
            .sql
            .read(Freshness::OwnWrites(user.as_str()), select)
            .await?;
        rows.first().map(|row| row.get(0)).transpose()
    }

    /// What was said of these rooms by anybody. If that is too much, those who want to hear of everything are left out first.
    pub async fn in_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, UserId, String)>, StoreError> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..=rooms.len()).map(|place| format!("${place}")).collect();
        let select = format!(
            "SELECT room_id, user_id, notify FROM room_preferences WHERE room_id IN ({})
             ORDER BY notify DESC LIMIT {PER_READ}",
            places.join(", ")
        );
        let select = rows_of(select, rooms);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        let read = rows
            .iter()
            .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        read.collect()
    }

    /// Rooms of which something is kept here, in the order of their ids, behind one of them.
    pub async fn rooms(&self, after: &str, limit: u32) -> Result<Vec<RoomId>, StoreError> {
        const SELECT: &str = "
            SELECT room_id FROM (
                SELECT DISTINCT room_id FROM room_preferences WHERE room_id > $1 ORDER BY room_id LIMIT $2) AS preferred
            UNION SELECT room_id FROM (
                SELECT room_id FROM room_cursors WHERE room_id > $1 ORDER BY room_id LIMIT $2) AS read
            ORDER BY room_id LIMIT $2";
        let select = Statement::new(SELECT).bind(after).bind(limit);
        let rows = self.sql.read(Freshness::Recent, select).await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Forgets rooms that are gone.
    pub async fn forget_rooms(&self, rooms: &[RoomId]) -> Result<(), StoreError> {
        let tables = [
            "DELETE FROM room_preferences WHERE room_id = $1",
            "DELETE FROM room_cursors WHERE room_id = $1",
        ];
        let statements = rooms
            .iter()
            .flat_map(|room| tables.map(|delete| Statement::new(delete).bind(room)));
        self.sql.write(None, statements.collect()).await?;
        Ok(())
    }

    /// Sets what a user wants to be told of in a room.
    pub async fn set_in_room(
        &self,
        room: &RoomId,
        user: &UserId,
        notify: &str,
    ) -> Result<(), StoreError> {
        const UPSERT: &str = "
            INSERT INTO room_preferences (room_id, user_id, notify) VALUES ($1, $2, $3)
            ON CONFLICT (room_id, user_id) DO UPDATE SET notify = excluded.notify";
        let upsert = Statement::new(UPSERT).bind(room).bind(user).bind(notify);
        self.sql.write(Some(user.as_str()), vec![upsert]).await?;
        Ok(())
    }
}

fn rows_of(sql: String, rooms: &[RoomId]) -> Statement {
    rooms
        .iter()
        .fold(Statement::new(sql), |select, room| select.bind(room))
}

fn preferences(row: &Row) -> Result<StoredPreferences, StoreError> {
    let (from, to, time_zone) = (row.get(2)?, row.get(3)?, row.get::<Option<String>>(4)?);
    let quiet_hours = match (from, to, time_zone) {
        (Some(from), Some(to), Some(time_zone)) => Some(StoredQuietHours {
            from,
            to,
            time_zone,
        }),
        _ => None,
    };
    Ok(StoredPreferences {
        mail: row.get(0)?,
        push: row.get(1)?,
        quiet_hours,
        language: row.get(5)?,
    })
}
