//! Jobs that wait, and those that failed for good. On a server that is alone, and in a fleet without a broker, the table is the
//! queue itself: who runs a job claims it for a while. Where there is a broker the table is its outbox: who publishes a job claims
//! it, and removes it once the broker has it.
//!
//! What must stay true: a job is removed by its claimant alone, and only once its effect, its next place or its failure is durable.

use protocol::{DeadJobAction, Timestamp};

use crate::sql::{Row, Sql, Statement, Written};
use crate::{Freshness, StoreError};

/// The longest kind, in bytes.
pub const JOB_KIND_MAX: usize = 64;
/// The longest id, in bytes.
pub const JOB_ID_MAX: usize = 255;
/// The largest payload, in bytes.
pub const JOB_PAYLOAD_MAX: usize = 64 << 10;
/// What is kept of an error, in bytes.
pub const JOB_ERROR_MAX: usize = 1_024;

/// Dead letters that one call settles.
pub const DEAD_JOBS_SETTLED: u32 = 1_000;

/// How far dead letters are counted.
pub const DEAD_JOBS_COUNTED: u64 = 10_000;

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What runs it.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Its values, as JSON.
    pub payload: String,
    /// Since when it's wanted.
    pub enqueued_at: Timestamp,
    /// It isn't run sooner.
    pub not_before: Timestamp,
}

impl NewJob {
    /// `Invalid` if it breaks a bound.
    pub fn checked(self) -> Result<Self, StoreError> {
        let is_word =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
        if self.kind.is_empty() || self.kind.len() > JOB_KIND_MAX || !self.kind.bytes().all(is_word)
        {
            return Err(StoreError::invalid(
                "kind",
                "lower-case words with dots or underscores between",
            ));
        }
        if self.id.is_empty() || self.id.len() > JOB_ID_MAX {
            return Err(StoreError::invalid(
                "id",
                format!("1 to {JOB_ID_MAX} bytes"),
            ));
        }
        if self.payload.len() > JOB_PAYLOAD_MAX {
            return Err(StoreError::invalid(
                "payload",
                format!("at most {JOB_PAYLOAD_MAX} bytes"),
            ));
        }
        Ok(self)
    }

    /// What adds it, for the transaction of the change that it follows from. If it is there already, it stays as it was.
    pub fn into_statement(self) -> Statement {
        Statement::new(
            "INSERT INTO jobs (kind, id, payload, enqueued_at, due_at, attempts) VALUES ($1, $2, $3, $4, $5, 0)
             ON CONFLICT (kind, id) DO NOTHING",
        )
        .bind(self.kind)
        .bind(self.id)
        .bind(self.payload)
        .bind(self.enqueued_at)
        .bind(self.not_before)
    }
}

/// A job that somebody has for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    /// What runs it.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Its values, as JSON.
    pub payload: String,
    /// Since when it's wanted.
    pub enqueued_at: Timestamp,
    /// Runs that have begun, this one included if it is claimed for one.
    pub attempts: u32,
}

/// A job that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// What ran it.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Its values, as JSON.
    pub payload: String,
    /// Since when it was wanted.
    pub enqueued_at: Timestamp,
    /// Since when it is dead.
    pub died_at: Timestamp,
    /// Runs that began.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
}

/// What waits of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJobs {
    /// The kind.
    pub kind: String,
    /// Jobs that may be taken.
    pub due: u64,
    /// Jobs that are put off, or that somebody has.
    pub later: u64,
    /// Since when the first of those that may be taken may be.
    pub due_since: Option<Timestamp>,
}

/// The name of one claim.
pub type Claim = str;

/// Jobs, durable. Cloning shares them.
#[derive(Clone)]
pub struct JobStore {
    sql: Sql,
}

impl JobStore {
    /// Those in these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Adds jobs, all or none. One that is there already stays as it was.
    pub async fn insert(&self, jobs: Vec<NewJob>) -> Result<(), StoreError> {
        let statements = jobs.into_iter().map(NewJob::into_statement).collect();
        self.sql.write(None, statements).await.map(drop)
    }

    /// When the first job may be taken.
    pub async fn first_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let read = Statement::new("SELECT min(due_at) FROM jobs");
        let rows = self.sql.read(Freshness::Latest, read).await?;
        rows.first().map_or(Ok(None), |row| row.get(0))
    }

    /// Takes jobs of a kind to run them, those first that wait for longest. They are nobody else's until `until`.
    pub async fn claim_runs(
        &self,
        kind: &str,
        claim: &Claim,
        now: Timestamp,
        until: Timestamp,
        at_most: u32,
    ) -> Result<Vec<ClaimedJob>, StoreError> {
        let taken = Statement::new(
            "WITH next AS MATERIALIZED (
                 SELECT kind, id FROM jobs WHERE kind = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
             UPDATE jobs SET claim = $4, due_at = $5, attempts = attempts + 1
             WHERE (kind, id) IN (SELECT kind, id FROM next)
             RETURNING kind, id, payload, enqueued_at, attempts",
        )
        .bind(kind)
        .bind(now)
        .bind(at_most)
        .bind(claim)
        .bind(until);
        self.claimed(taken).await
    }

    /// Takes jobs of any kind to publish them, which begins no run of theirs.
    pub async fn claim_publications(
        &self,
        claim: &Claim,
        now: Timestamp,
        until: Timestamp,
        at_most: u32,
    ) -> Result<Vec<ClaimedJob>, StoreError> {
        let taken = Statement::new(
            "WITH next AS MATERIALIZED (
                 SELECT kind, id FROM jobs WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE jobs SET claim = $3, due_at = $4
             WHERE (kind, id) IN (SELECT kind, id FROM next)
             RETURNING kind, id, payload, enqueued_at, attempts",
        )
        .bind(now)
        .bind(at_most)
        .bind(claim)
        .bind(until);
        self.claimed(taken).await
    }

    async fn claimed(&self, taken: Statement) -> Result<Vec<ClaimedJob>, StoreError> {
        let written = self.sql.write(None, vec![taken]).await?;
        let job = |row: Row| {
            Ok(ClaimedJob {
                kind: row.get(0)?,
                id: row.get(1)?,
                payload: row.get(2)?,
                enqueued_at: row.get(3)?,
                attempts: row.get(4)?,
            })
        };
        written.into_last_rows().into_iter().map(job).collect()
    }

    /// Removes a job that is done; false if the claim isn't good any more.
    pub async fn complete(&self, kind: &str, id: &str, claim: &Claim) -> Result<bool, StoreError> {
        self.write_one(removal(kind, id, claim)).await
    }

    /// Removes what was claimed until `until` but for those in `back`, which are nobody's again and may be taken from `due_at` on.
    pub async fn complete_publications(
        &self,
        claim: &Claim,
        until: Timestamp,
        back: &[(&str, &str)],
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut statements: Vec<_> = back
            .iter()
            .map(|(kind, id)| release(kind, id, claim, due_at, 0))
            .collect();
        // By the index of times.
        let removal = Statement::new("DELETE FROM jobs WHERE due_at = $1 AND claim = $2");
        statements.push(removal.bind(until).bind(claim));
        self.sql.write(None, statements).await.map(drop)
    }

    /// Has a job run again from `due_at` on; false if the claim isn't good any more.
    pub async fn put_off(
        &self,
        kind: &str,
        id: &str,
        claim: &Claim,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write_one(release(kind, id, claim, due_at, 0)).await
    }

    /// Gives back a job whose run didn't come to an end and doesn't count.
    pub async fn give_back(&self, kind: &str, id: &str, claim: &Claim) -> Result<bool, StoreError> {
        self.write_one(release(kind, id, claim, Timestamp::now(), 1))
            .await
    }

    /// Gives back everything that anybody has. Only for who is sure that nobody else has anything.
    pub async fn release_all(&self) -> Result<(), StoreError> {
        let released =
            Statement::new("UPDATE jobs SET claim = NULL, due_at = $1 WHERE claim IS NOT NULL");
        self.write_one(released.bind(Timestamp::now()))
            .await
            .map(drop)
    }

    /// Keeps a job as a dead letter in place of the one that is claimed; false if the claim isn't good any more.
    pub async fn bury(&self, dead: DeadJob, claim: &Claim) -> Result<bool, StoreError> {
        let removed = removal(&dead.kind, &dead.id, claim).required();
        let written = self.sql.write(None, vec![removed, burial(dead)]).await?;
        Ok(matches!(written, Written::All(_)))
    }

    /// Keeps a dead letter that was the broker's.
    pub async fn keep_dead(&self, dead: DeadJob) -> Result<(), StoreError> {
        self.write_one(burial(dead)).await.map(drop)
    }

    /// The dead letters of a kind, or of all, of a numbered page, the latest first; and how many there are, up to
    /// [`DEAD_JOBS_COUNTED`].
    pub async fn dead(
        &self,
        kind: Option<&str>,
        page: u32,
        limit: u32,
    ) -> Result<(Vec<DeadJob>, u64), StoreError> {
        let skipped = u64::from(page.saturating_sub(1)) * u64::from(limit);
        let kind = kind.unwrap_or("");
        let rows = Statement::new(
            "SELECT kind, id, payload, enqueued_at, died_at, attempts, error FROM dead_jobs
             WHERE $1 = '' OR kind = $1 ORDER BY died_at DESC, kind, id LIMIT $2 OFFSET $3",
        )
        .bind(kind)
        .bind(limit)
        .bind(skipped);
        let total = Statement::new(
            "SELECT count(*) FROM (SELECT 1 FROM dead_jobs WHERE $1 = '' OR kind = $1 LIMIT $2) AS counted",
        )
        .bind(kind)
        .bind(DEAD_JOBS_COUNTED);
        let rows = self.sql.read(Freshness::Latest, rows).await?;
        let total = self.sql.read(Freshness::Latest, total).await?;
        let total = total.first().map_or(Ok(0), |row| row.get(0))?;
        let jobs = rows.iter().map(dead_job);
        Ok((jobs.collect::<Result<_, _>>()?, total))
    }

    /// Enqueues a dead letter again, as if it had never run; false if there is none.
    pub async fn replay(&self, kind: &str, id: &str) -> Result<bool, StoreError> {
        let inserted = Statement::new(
            "INSERT INTO jobs (kind, id, payload, enqueued_at, due_at, attempts)
             SELECT kind, id, payload, enqueued_at, $3, 0 FROM dead_jobs WHERE kind = $1 AND id = $2
             ON CONFLICT (kind, id) DO NOTHING",
        )
        .bind(kind)
        .bind(id)
        .bind(Timestamp::now());
        let removed = dead_removal(kind, id).required();
        let written = self.sql.write(None, vec![inserted, removed]).await?;
        Ok(matches!(written, Written::All(_)))
    }

    /// Replays or drops a dead letter, or all of its kind, at most [`DEAD_JOBS_SETTLED`]. Says how many.
    pub async fn settle_dead(
        &self,
        action: DeadJobAction,
        kind: &str,
        id: Option<&str>,
    ) -> Result<u32, StoreError> {
        let ids = match id {
            Some(id) => vec![id.to_owned()],
            None => {
                let (dead, _) = self.dead(Some(kind), 1, DEAD_JOBS_SETTLED).await?;
                dead.into_iter().map(|job| job.id).collect()
            }
        };
        let mut settled = 0;
        for id in ids {
            let found = match action {
                DeadJobAction::Replay => self.replay(kind, &id).await?,
                DeadJobAction::Drop => self.drop_dead(kind, &id).await?,
            };
            settled += u32::from(found);
        }
        Ok(settled)
    }

    /// Removes a dead letter for ever; false if there is none.
    pub async fn drop_dead(&self, kind: &str, id: &str) -> Result<bool, StoreError> {
        self.write_one(dead_removal(kind, id)).await
    }

    /// Removes dead letters that died before a time.
    pub async fn drop_dead_before(&self, before: Timestamp) -> Result<u64, StoreError> {
        let removed = Statement::new("DELETE FROM dead_jobs WHERE died_at < $1").bind(before);
        let written = self.sql.write(None, vec![removed]).await?;
        Ok(written.rows_affected().unwrap_or(0))
    }

    /// What waits, by kind, as it was a moment ago.
    pub async fn waiting(&self, now: Timestamp) -> Result<Vec<WaitingJobs>, StoreError> {
        let counts = Statement::new(
            "SELECT kind, CAST(sum(CASE WHEN due_at <= $1 THEN 1 ELSE 0 END) AS BIGINT), count(*), min(due_at)
             FROM jobs GROUP BY kind ORDER BY kind",
        )
        .bind(now);
        let rows = self.sql.read(Freshness::Recent, counts).await?;
        let waiting = |row: &Row| {
            let (due, all): (u64, u64) = (row.get(1)?, row.get(2)?);
            let first: Timestamp = row.get(3)?;
            Ok(WaitingJobs {
                kind: row.get(0)?,
                due,
                later: all - due,
                due_since: (due > 0).then_some(first),
            })
        };
        rows.iter().map(waiting).collect()
    }

    /// Dead letters by kind, likewise.
    pub async fn dead_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let counts =
            Statement::new("SELECT kind, count(*) FROM dead_jobs GROUP BY kind ORDER BY kind");
        let rows = self.sql.read(Freshness::Recent, counts).await?;
        rows.iter()
            .map(|row| Ok((row.get(0)?, row.get(1)?)))
            .collect()
    }

    /// Whether it affected a row.
    async fn write_one(&self, statement: Statement) -> Result<bool, StoreError> {
        let written = self.sql.write(None, vec![statement]).await?;
        Ok(written.rows_affected().is_some_and(|rows| rows > 0))
    }
}

fn removal(kind: &str, id: &str, claim: &Claim) -> Statement {
    Statement::new("DELETE FROM jobs WHERE kind = $1 AND id = $2 AND claim = $3")
        .bind(kind)
        .bind(id)
        .bind(claim)
}

fn release(
    kind: &str,
    id: &str,
    claim: &Claim,
    due_at: Timestamp,
    runs_not_counted: u32,
) -> Statement {
    Statement::new(
        "UPDATE jobs SET claim = NULL, due_at = $4, attempts = attempts - $5 WHERE kind = $1 AND id = $2 AND claim = $3",
    )
    .bind(kind)
    .bind(id)
    .bind(claim)
    .bind(due_at)
    .bind(runs_not_counted)
}

fn burial(dead: DeadJob) -> Statement {
    Statement::new(
        "INSERT INTO dead_jobs (kind, id, payload, enqueued_at, died_at, attempts, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (kind, id) DO UPDATE SET payload = excluded.payload, died_at = excluded.died_at,
             attempts = excluded.attempts, error = excluded.error",
    )
    .bind(dead.kind)
    .bind(dead.id)
    .bind(dead.payload)
    .bind(dead.enqueued_at)
    .bind(dead.died_at)
    .bind(dead.attempts)
    .bind(dead.error)
}

fn dead_removal(kind: &str, id: &str) -> Statement {
    Statement::new("DELETE FROM dead_jobs WHERE kind = $1 AND id = $2")
        .bind(kind)
        .bind(id)
}

fn dead_job(row: &Row) -> Result<DeadJob, StoreError> {
    Ok(DeadJob {
        kind: row.get(0)?,
        id: row.get(1)?,
        payload: row.get(2)?,
        enqueued_at: row.get(3)?,
        died_at: row.get(4)?,
        attempts: row.get(5)?,
        error: row.get(6)?,
    })
}
