//! E-mail addresses that their users have shown to be theirs.

use protocol::{Timestamp, UserId};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Sql, Statement};

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
