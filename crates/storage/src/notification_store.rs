//! Notifications: what a user is to know of, read or not, and whether somebody has set out to push or mail it.

use protocol::{RoomId, Timestamp, UserId};

use crate::Freshness;
use crate::sql::{Row, Sql, Statement, Written};
use crate::{Page, StoreError};

/// Rows of one statement: two back ends take so many placeholders.
const ROWS: usize = 500;

/// Unread notifications are counted up to so many.
pub const UNREAD_NOTIFICATIONS_MAX: u64 = 1_000;

/// A notification that isn't stored yet.
#[derive(Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Whom it is for.
    pub user_id: UserId,
    /// What it is: there is one for a user, a kind and a place.
    pub kind: &'static str,
    /// The room that it is about.
    pub room_id: RoomId,
    /// The place in the room's log; of what isn't in the log, its time.
    pub seq: u64,
    /// Who caused it.
    pub actor_id: UserId,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// What a client needs to lead there: a JSON object.
    pub data: String,
    /// When it happened.
    pub at: Timestamp,
    /// True if the user has seen it already.
    pub is_read: bool,
}

/// A notification.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredNotification {
    /// In the order in which they were made.
    pub id: String,
    /// Whom it is for.
    pub user_id: UserId,
    /// What it is.
    pub kind: String,
    /// The room that it is about.
    pub room_id: RoomId,
    /// The place in the room's log.
    pub seq: u64,
    /// Its title.
    pub title: String,
    /// Its text; empty once its message is deleted.
    pub body: String,
    /// A JSON object.
    pub data: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

/// Without what was written, which must not reach a log.
impl std::fmt::Debug for StoredNotification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredNotification")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A statement with the columns of a notification, which are read in this order. It is a constant, so that PostgreSQL prepares
/// it.
macro_rules! with_columns {
    ($before:expr, $after:expr) => {
        concat!(
            $before,
            " id, user_id, kind, room_id, seq, title, body, data, created_at, read_at ",
            $after
        )
    };
}

/// Claims what a user hasn't read and nobody has claimed for an outlet, whose column notes the claim.
macro_rules! claim {
    ($column:literal) => {
        concat!(
            "UPDATE notifications SET ",
            $column,
            " = $1 WHERE id IN (
                SELECT id FROM notifications WHERE user_id = $2 AND read_at IS NULL AND ",
            $column,
            " IS NULL
                ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)"
        )
    };
}

/// Reads what was claimed and isn't read.
macro_rules! claimed {
    ($column:literal) => {
        with_columns!(
            "SELECT",
            concat!(
                "FROM notifications WHERE user_id = $1 AND ",
                $column,
                " = $2 AND read_at IS NULL ORDER BY id LIMIT $3"
            )
        )
    };
}

/// How a notification reaches who is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// By push.
    Push,
    /// By mail.
    Mail,
}

impl Outlet {
    fn claim(self) -> &'static str {
        match self {
            Self::Push => claim!("pushed_at"),
            Self::Mail => claim!("mailed_at"),
        }
    }

    fn claimed(self) -> &'static str {
        match self {
            Self::Push => claimed!("pushed_at"),
            Self::Mail => claimed!("mailed_at"),
        }
    }
}

/// Notifications of one cause that are removed at a time.
const CAUSED_AT_ONCE: u32 = 500;

/// Notifications that are claimed at a time.
const CLAIMED: u32 = 500;

/// Notifications, durable. Cloning shares them.
#[derive(Clone)]
pub struct NotificationStore {
    sql: Sql,
}

impl NotificationStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Stores what isn't there yet, with what else is to happen in the same transaction, and returns what is new. `None`,
    /// and nothing happened, if a statement of `others` that is required affected no row.
    pub async fn add(
        &self,
        new: &[NewNotification],
        others: Vec<Statement>,
    ) -> Result<Option<Vec<StoredNotification>>, StoreError> {
        let mut statements = others;
        let first = statements.len();
        for chunk in new.chunks(ROWS) {
            statements.push(insert(chunk));
        }
        let Written::All(effects) = self.sql.write(None, statements).await? else {
            return Ok(None);
        };
        let rows = effects
            .into_iter()
            .skip(first)
            .flat_map(|effect| effect.rows);
        let mut added = rows.map(|row| read(&row)).collect::<Result<Vec<_>, _>>()?;
        added.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Some(added))
    }

    /// A user's notifications, the newest first, those behind `before`.
    pub async fn list(
        &self,
        user: &UserId,
        only_unread: bool,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<StoredNotification>, StoreError> {
        // No id is greater than the one that stands for none.
        const SELECT: &str = with_columns!(
            "SELECT",
            "FROM notifications WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        const SELECT_UNREAD: &str = with_columns!(
            "SELECT",
            "FROM notifications WHERE user_id = $1 AND id < $2 AND read_at IS NULL ORDER BY id DESC LIMIT $3"
        );
        let select = if only_unread { SELECT_UNREAD } else { SELECT };
        let statement = Statement::new(select)
            .bind(user)
            .bind(before.unwrap_or("~"))
            .bind(u64::from(limit) + 1);
        let rows = self
            .sql
            .read(Freshness::OwnWrites(user.as_str()), statement)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit))
    }

    /// How many a user hasn't read, at most [`UNREAD_NOTIFICATIONS_MAX`].
    pub async fn unread(&self, user: &UserId) -> Result<u64, StoreError> {
        const COUNT: &str = "
            SELECT count(*) FROM (
                SELECT 1 FROM notifications WHERE user_id = $1 AND read_at IS NULL LIMIT $2) AS unread";
        let count = Statement::new(COUNT)
            .bind(user)
            .bind(UNREAD_NOTIFICATIONS_MAX);
        let rows = self
            .sql
            .read(Freshness::OwnWrites(user.as_str()), count)
            .await?;
        rows.first().map_or(Ok(0), |row| row.get(0))
    }

    /// True if a user has this notification, read or not.
    pub async fn exists(&self, user: &UserId, id: &str) -> Result<bool, StoreError> {
        let select = "SELECT 1 FROM notifications WHERE id = $1 AND user_id = $2";
        let select = Statement::new(select).bind(id).bind(user);
        let rows = self
            .sql
            .read(Freshness::OwnWrites(user.as_str()), select)
            .await?;
        Ok(!rows.is_empty())
    }

    /// Marks those of these notifications that are the user's as read, and returns which were unread.
    pub async fn mark_read(
        &self,
        user: &UserId,
        ids: &[String],
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let update = format!(
            "UPDATE notifications SET read_at = $1 WHERE user_id = $2 AND read_at IS NULL AND id IN ({}) RETURNING id",
            placeholders(3, ids.len())
        );
        let update = Statement::new(update).bind(now).bind(user);
        let update = ids.iter().cloned().fold(update, Statement::bind);
        self.marked(user, update).await
    }

    /// Marks all of a user's notifications as read, at most a thousand, and returns which were unread.
    pub async fn mark_all_read(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        const UPDATE: &str = "
            UPDATE notifications SET read_at = $1 WHERE id IN (
                SELECT id FROM notifications WHERE user_id = $2 AND read_at IS NULL ORDER BY id LIMIT $3)
            RETURNING id";
        let update = Statement::new(UPDATE)
            .bind(now)
            .bind(user)
            .bind(UNREAD_NOTIFICATIONS_MAX);
        self.marked(user, update).await
    }

    async fn marked(&self, user: &UserId, update: Statement) -> Result<Vec<String>, StoreError> {
        let written = self.sql.write(Some(user.as_str()), vec![update]).await?;
        let rows = written.into_last_rows();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Marks what is about rooms that were read up to a place, and returns which were unread.
    pub async fn mark_places_read(
        &self,
        places: &[(UserId, RoomId, u64)],
        now: Timestamp,
    ) -> Result<Vec<(UserId, String)>, StoreError> {
        let mut marked = Vec::new();
        for chunk in places.chunks(ROWS) {
            let statements = chunk.iter().map(|(user, room, seq)| {
                const UPDATE: &str = "
                    UPDATE notifications SET read_at = $1
                    WHERE user_id = $2 AND room_id = $3 AND seq <= $4 AND read_at IS NULL RETURNING user_id, id";
                Statement::new(UPDATE).bind(now).bind(user).bind(room).bind(*seq)
            });
            if let Written::All(effects) = self.sql.write(None, statements.collect()).await? {
                for row in effects.iter().flat_map(|effect| &effect.rows) {
                    marked.push((row.get(0)?, row.get(1)?));
                }
            }
        }
        Ok(marked)
    }

    /// Claims what a user hasn't read and nobody has set out to push or mail yet, with what is to happen in the same transaction. Nobody else claims it; it is found again by `claim` ([`NotificationStore::claimed`]).
    pub async fn claim(
        &self,
        user: &UserId,
        outlet: Outlet,
        claim: Timestamp,
        others: Vec<Statement>,
    ) -> Result<(), StoreError> {
        let update = Statement::new(outlet.claim())
            .bind(claim)
            .bind(user)
            .bind(CLAIMED);
        let mut statements = others;
        statements.push(update);
        self.sql.write(None, statements).await?;
        Ok(())
    }

    /// What a user hasn't read of those that were claimed by `claim`.
    pub async fn claimed(
        &self,
        user: &UserId,
        outlet: Outlet,
        claim: Timestamp,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        let select = Statement::new(outlet.claimed())
            .bind(user)
            .bind(claim)
            .bind(CLAIMED);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a push is about to be sent; false if that was noted before.
    pub async fn begin_push(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let insert = "INSERT INTO pushes (id, sent_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
        let insert = Statement::new(insert).bind(id).bind(now);
        let written = self.sql.write(None, vec![insert]).await?;
        Ok(written.rows_affected().unwrap_or(0) > 0)
    }

    /// Notes that a push wasn't taken, so that it may be sent again.
    pub async fn take_push_back(&self, id: &str) -> Result<(), StoreError> {
        let delete = Statement::new("DELETE FROM pushes WHERE id = $1").bind(id);
        self.sql.write(None, vec![delete]).await?;
        Ok(())
    }

    /// What takes the text from the notifications of a message that was deleted.
    pub fn forget_message(room: &RoomId, seq: u64) -> Statement {
        let update = "UPDATE notifications SET body = '' WHERE room_id = $1 AND seq = $2";
        Statement::new(update).bind(room).bind(seq)
    }

    /// Removes everything of a user.
    pub async fn delete_user(&self, user: &UserId) -> Result<(), StoreError> {
        let tables = [
            "DELETE FROM notifications WHERE user_id = $1",
            "DELETE FROM notification_preferences WHERE user_id = $1",
            "DELETE FROM room_preferences WHERE user_id = $1",
            "DELETE FROM devices WHERE user_id = $1",
            "DELETE FROM verified_emails WHERE user_id = $1",
            "DELETE FROM verification_emails WHERE user_id = $1",
        ];
        let mut statements: Vec<_> = tables
            .iter()
            .map(|delete| Statement::new(*delete).bind(user))
            .collect();
        // Their ids begin with the user's.
        let pushes = Statement::new("DELETE FROM pushes WHERE id >= $1 AND id < $2");
        statements.push(pushes.bind(format!("{user}-")).bind(format!("{user}.")));
        self.sql.write(None, statements).await?;
        Ok(())
    }

    /// Forgets pushes from before a time, at most so many, and returns how many.
    pub async fn forget_pushes(&self, before: Timestamp, at_most: u32) -> Result<u64, StoreError> {
        const DELETE: &str = "
            DELETE FROM pushes WHERE id IN (
                SELECT id FROM pushes WHERE sent_at < $1 ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        let delete = Statement::new(DELETE).bind(before).bind(at_most);
        let written = self.sql.write(None, vec![delete]).await?;
        Ok(written.rows_affected().unwrap_or(0))
    }

    /// Removes what a user has caused, whose titles hold their name: one batch of it. Returns whether there may be more, and
    /// which were unread, by their users.
    pub async fn delete_caused_by(
        &self,
        actor: &UserId,
    ) -> Result<(bool, Vec<(UserId, String)>), StoreError> {
        const DELETE: &str = "
            DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE actor_id = $1 ORDER BY id LIMIT $2)
            RETURNING user_id, id, read_at";
        let delete = Statement::new(DELETE).bind(actor).bind(CAUSED_AT_ONCE);
        let rows = self.sql.write(None, vec![delete]).await?.into_last_rows();
        let mut unread = Vec::new();
        for row in &rows {
            if row.get::<Option<Timestamp>>(2)?.is_none() {
                unread.push((row.get(0)?, row.get(1)?));
            }
        }
        Ok((rows.len() >= CAUSED_AT_ONCE as usize, unread))
    }

    /// Removes notifications from before a time, at most so many, and returns how many.
    pub async fn delete_before(&self, before: Timestamp, at_most: u32) -> Result<u64, StoreError> {
        const DELETE: &str = "
            DELETE FROM notifications WHERE id IN (
                SELECT id FROM notifications WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        let delete = Statement::new(DELETE).bind(before).bind(at_most);
        let written = self.sql.write(None, vec![delete]).await?;
        Ok(written.rows_affected().unwrap_or(0))
    }
}

/// `$3, $4, $5`.
fn placeholders(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count)
        .map(|place| format!("${place}"))
        .collect();
    places.join(", ")
}

fn insert(new: &[NewNotification]) -> Statement {
    let rows: Vec<String> = (0..new.len())
        .map(|row| format!("({})", placeholders(row * 11 + 1, 11)))
        .collect();
    let sql = format!(
        "INSERT INTO notifications (id, user_id, kind, room_id, seq, actor_id, title, body, data, created_at, read_at)
         VALUES {} ON CONFLICT (user_id, kind, room_id, seq) DO NOTHING {}",
        rows.join(", "),
        with_columns!("RETURNING", "")
    );
    new.iter().fold(Statement::new(sql), |insert, one| {
        insert
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(&one.user_id)
            .bind(one.kind)
            .bind(&one.room_id)
            .bind(one.seq)
            .bind(&one.actor_id)
            .bind(one.title.as_str())
            .bind(one.body.as_str())
            .bind(one.data.as_str())
            .bind(one.at)
            .bind(one.is_read.then_some(one.at))
    })
}

fn read(row: &Row) -> Result<StoredNotification, StoreError> {
    Ok(StoredNotification {
        id: row.get(0)?,
        user_id: row.get(1)?,
        kind: row.get(2)?,
        room_id: row.get(3)?,
        seq: row.get(4)?,
        title: row.get(5)?,
        body: row.get(6)?,
        data: row.get(7)?,
        created_at: row.get(8)?,
        read_at: row.get(9)?,
    })
}
