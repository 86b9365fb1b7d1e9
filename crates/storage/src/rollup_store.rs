//! What happened on each day: messages, which are counted as the rooms' logs are read, and users who were active, who are
//! noted one by one and counted when the day is over.
//!
//! What must stay true: a message is counted in the transaction that notes that the log was read beyond it, so once; a day's users
//! are counted anew as long as all of them are known, and never afterwards.

use protocol::{Day, UserId};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Row, Sql, Statement};

/// For how many days it is known who was active, today included.
const KNOWN: i64 = 7;

/// Days that are filled in at a time, if nobody has counted any for long.
const FILLED: i64 = 366;

/// Users of one transaction.
const AT_ONCE: usize = 500;

/// What happened on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRollup {
    /// The day.
    pub day: Day,
    /// Messages that were sent.
    pub messages: u64,
    /// Users who were active.
    pub active_users: u64,
}

/// Roll-ups, durable. Cloning shares them.
#[derive(Clone)]
pub struct RollupStore {
    sql: Sql,
}

impl RollupStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// What counts messages of a day.
    pub fn count_messages(day: Day, messages: u64) -> Statement {
        const UPSERT: &str = "
            INSERT INTO daily_rollups (day, messages, active_users) VALUES ($1, $2, NULL)
            ON CONFLICT (day) DO UPDATE SET messages = daily_rollups.messages + excluded.messages";
        Statement::new(UPSERT).bind(day).bind(messages)
    }

    /// What notes that a user was active on a day; `None` if it is too late for that.
    pub fn note_active(day: Day, user: &UserId, today: Day) -> Option<Statement> {
        const INSERT: &str = "
            INSERT INTO active_users (day, user_id) VALUES ($1, $2) ON CONFLICT (day, user_id) DO NOTHING";
        let insert = || Statement::new(INSERT).bind(day).bind(user);
        (today.since(day) < KNOWN).then(insert)
    }

    /// Notes that users were active on a day.
    pub async fn note_all_active(
        &self,
        day: Day,
        users: &[UserId],
        today: Day,
    ) -> Result<(), StoreError> {
        for users in users.chunks(AT_ONCE) {
            let notes = users
                .iter()
                .filter_map(|user| Self::note_active(day, user, today));
            self.sql.write(None, notes.collect()).await?;
        }
        Ok(())
    }

    /// Counts the users of the days before today, each day that has not been counted for good yet, and has a row for each on which
    /// nothing happened. Any number of times.
    pub async fn close(&self, today: Day) -> Result<(), StoreError> {
        const COUNT: &str = "
            UPDATE daily_rollups SET active_users = (
                SELECT count(*) FROM active_users WHERE active_users.day = daily_rollups.day)
            WHERE day < $1 AND (active_users IS NULL OR day >= (SELECT min(day) FROM active_users))";
        const FORGET: &str = "DELETE FROM active_users WHERE day < $1";
        // From the first day on that has anything.
        const FIRST: &str = "
            SELECT min(day) FROM (
                SELECT min(day) AS day FROM daily_rollups UNION ALL SELECT min(day) AS day FROM active_users) AS days";
        const DAYS: &str = "SELECT day FROM daily_rollups WHERE day >= $1";
        let rows = self
            .sql
            .read(Freshness::Latest, Statement::new(FIRST))
            .await?;
        let first: Option<Day> = rows.first().map_or(Ok(None), |row| row.get(0))?;
        let first = first.map_or(today, |first| first.max(today.plus(-FILLED)));
        let days = Statement::new(DAYS).bind(first);
        let rows = self.sql.read(Freshness::Latest, days).await?;
        let days: Vec<Day> = rows
            .iter()
            .map(|row| row.get(0))
            .collect::<Result<_, _>>()?;
        let mut statements: Vec<_> = (0..=today.since(first))
            .map(|days| first.plus(days))
            .filter(|day| !days.contains(day))
            .map(|day| Self::count_messages(day, 0))
            .collect();
        statements.push(Statement::new(COUNT).bind(today));
        statements.push(Statement::new(FORGET).bind(today.plus(1 - KNOWN)));
        self.sql.write(None, statements).await.map(drop)
    }

    /// What happened from a day to another one, which is included; without days that nobody has counted yet.
    pub async fn between(&self, from: Day, to: Day) -> Result<Vec<StoredRollup>, StoreError> {
        const SELECT: &str = "
            SELECT day, messages, active_users FROM daily_rollups WHERE day >= $1 AND day <= $2 AND active_users IS NOT NULL ORDER BY day";
        let select = Statement::new(SELECT).bind(from).bind(to);
        let rows = self.sql.read(Freshness::Recent, select).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<StoredRollup, StoreError> {
    Ok(StoredRollup {
        day: row.get(0)?,
        messages: row.get(1)?,
        active_users: row.get(2)?,
    })
}
