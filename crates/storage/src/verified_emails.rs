//! E-mail addresses that their users have shown to be theirs.

use protocol::{Timestamp, UserId};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Sql, Statement};

/// Between two letters about a password to one user.
const LETTERS_APART_MS: i64 = 60_000;

/// Accounts of one address that are found.
const ACCOUNTS: u32 = 10;

/// Verified addresses, durable. Cloning shares them.
#[derive(Clone)]
pub struct VerifiedEmails {
    sql: Sql,
}

impl VerifiedEmails {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Notes that an address is a user's; a former one isn't any more.
    pub async fn put(&self, user: &UserId, email: &str, now: Timestamp) -> Result<(), StoreError> {
        const UPSERT: &str = "
            INSERT INTO verified_emails (user_id, email, verified_at) VALUES ($1, $2, $3)
            ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, verified_at = excluded.verified_at";
        let upsert = Statement::new(UPSERT)
            .bind(user)
            .bind(email.to_lowercase())
            .bind(now);
        self.sql.write(Some(user.as_str()), vec![upsert]).await?;
        Ok(())
    }

    /// True if a user has shown this address to be theirs.
    pub async fn contains(&self, user: &UserId, email: &str) -> Result<bool, StoreError> {
        let select = "SELECT 1 FROM verified_emails WHERE user_id = $1 AND email = $2";
        let select = Statement::new(select).bind(user).bind(email.to_lowercase());
        let rows = self.sql.read(Freshness::Latest, select).await?;
        Ok(!rows.is_empty())
    }

    /// Those of these users who have shown some address to be theirs.
    pub async fn among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        users_in(&self.sql, "verified_emails", users).await
    }

    /// Lets the job that was asked for at `job` send a letter about a password to a user: again and again, but no other job
    /// within a minute.
    pub async fn claim_letter(
        &self,
        user: &UserId,
        job: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "
            UPDATE verified_emails SET letter_at = $1, letter_job = $2
            WHERE user_id = $3 AND (letter_at IS NULL OR letter_at <= $4 OR letter_job = $2)";
        let update = Statement::new(UPDATE)
            .bind(now)
            .bind(job)
            .bind(user)
            .bind(now.unix_ms() - LETTERS_APART_MS);
        let written = self.sql.write(None, vec![update]).await?;
        Ok(written.rows_affected().unwrap_or(0) > 0)
    }

    /// The users who have shown an address to be theirs, at most ten. It may not be their present one.
    pub async fn users_of(&self, email: &str) -> Result<Vec<UserId>, StoreError> {
        let select = "SELECT user_id FROM verified_emails WHERE email = $1 ORDER BY verified_at DESC LIMIT $2";
        let select = Statement::new(select)
            .bind(email.to_lowercase())
            .bind(ACCOUNTS);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Those of these users who are in a table.
pub(crate) async fn users_in(
    sql: &Sql,
    table: &'static str,
    users: &[UserId],
) -> Result<Vec<UserId>, StoreError> {
    let mut found = Vec::new();
    for chunk in users.chunks(500) {
        let places: Vec<String> = (1..=chunk.len()).map(|place| format!("${place}")).collect();
        let select = format!(
            "SELECT DISTINCT user_id FROM {table} WHERE user_id IN ({})",
            places.join(", ")
        );
        let select = chunk.iter().fold(Statement::new(select), Statement::bind);
        for row in sql.read(Freshness::Latest, select).await? {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}
