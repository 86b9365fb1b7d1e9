//! E-mail addresses that their users have shown to be theirs.

use protocol::{Timestamp, UserId};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Sql, Statement, Written};

/// Between two emails about a password to one user.
const EMAILS_APART_MS: i64 = 60_000;

/// Emails that ask one address whether it is somebody's, within an hour.
const VERIFICATIONS: u32 = 5;
const VERIFICATIONS_WITHIN_MS: i64 = 60 * 60 * 1_000;

/// Older ones that are forgotten at a time.
const OLD_AT_ONCE: u32 = 100;

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

    /// The address that a user has shown to be theirs. It may not be their present one.
    pub async fn of(&self, user: &UserId) -> Result<Option<String>, StoreError> {
        let select = "SELECT email FROM verified_emails WHERE user_id = $1";
        let select = Statement::new(select).bind(user);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        rows.first().map(|row| row.get(0)).transpose()
    }

    /// Forgets that this address is a user's, with what is to happen in the same transaction; nothing happens if that isn't
    /// known any more.
    pub async fn forget(
        &self,
        user: &UserId,
        email: &str,
        others: Vec<Statement>,
    ) -> Result<(), StoreError> {
        let delete = "DELETE FROM verified_emails WHERE user_id = $1 AND email = $2";
        let delete = Statement::new(delete).bind(user).bind(email.to_lowercase());
        let mut statements = vec![delete.required()];
        statements.extend(others);
        self.sql.write(Some(user.as_str()), statements).await?;
        Ok(())
    }

    /// Lets an email `id` ask a user whether the address with this hash is theirs: the same one again and again, but no more
    /// than so many others within the hour before.
    pub async fn claim_verification(
        &self,
        id: &str,
        user: &UserId,
        hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // Whoever counts the emails to an address waits for others who do.
        const TURN: &str = "
            INSERT INTO asked_addresses (hash, asked_at) VALUES ($1, $2)
            ON CONFLICT (hash) DO UPDATE SET asked_at = excluded.asked_at";
        const OLD_ADDRESSES: &str = "
            DELETE FROM asked_addresses WHERE hash IN (
                SELECT hash FROM asked_addresses WHERE asked_at <= $1 ORDER BY asked_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        const OLD: &str = "
            DELETE FROM verification_emails WHERE id IN (
                SELECT id FROM verification_emails WHERE sent_at <= $1 ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        const INSERT: &str = "
            INSERT INTO verification_emails (id, user_id, address_hash, sent_at)
            SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
            WHERE (SELECT count(*) FROM verification_emails WHERE address_hash = $3 AND sent_at > $5 AND id <> $1) < $6
            ON CONFLICT (id) DO UPDATE SET sent_at = verification_emails.sent_at";
        let hour_ago = now.unix_ms() - VERIFICATIONS_WITHIN_MS;
        let old = Statement::new(OLD).bind(hour_ago).bind(OLD_AT_ONCE);
        let insert = Statement::new(INSERT)
            .bind(id)
            .bind(user)
            .bind(hash)
            .bind(now)
            .bind(hour_ago)
            .bind(VERIFICATIONS);
        let turn = Statement::new(TURN).bind(hash).bind(now);
        let addresses = Statement::new(OLD_ADDRESSES)
            .bind(hour_ago)
            .bind(OLD_AT_ONCE);
        let statements = vec![turn, addresses, old, insert.required()];
        let written = self.sql.write(None, statements).await?;
        Ok(matches!(written, Written::All(_)))
    }

    /// Those of these users who have shown some address to be theirs.
    pub async fn among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        users_in(&self.sql, "verified_emails", users).await
    }

    /// Lets the job that was asked for at `job` send an email about a password to a user: again and again until a later one
    /// does, which has to wait for a minute.
    pub async fn claim_email(
        &self,
        user: &UserId,
        job: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "
            UPDATE verified_emails SET email_at = $1, email_job = $2
            WHERE user_id = $3 AND (email_at IS NULL OR email_job = $2 OR (email_at <= $4 AND email_job < $2))";
        let update = Statement::new(UPDATE)
            .bind(now)
            .bind(job)
            .bind(user)
            .bind(now.unix_ms() - EMAILS_APART_MS);
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
