//! How far logs were read by who derives something of them, and who does so at present.

use std::time::Duration;

use protocol::{RoomId, Timestamp};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Sql, Statement, Written};

/// Rooms of one read.
const ROOMS: u32 = 10_000;

/// Cursors, durable. Cloning shares them.
#[derive(Clone)]
pub struct CursorStore {
    sql: Sql,
}

/// That one reader alone reads a log, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: &'static str,
    holder: String,
    /// How far it was read; `None` if it never was.
    pub position: Option<String>,
}

impl Lease {
    /// What moves the cursor on and prolongs the lease. It is required: nothing happens if somebody else has the lease.
    pub fn advance(&self, position: &str, now: Timestamp, time: Duration) -> Statement {
        const UPDATE: &str = "
            UPDATE log_cursors SET position = $1, leased_until = $2 WHERE name = $3 AND holder = $4";
        Statement::new(UPDATE)
            .bind(position)
            .bind(now.plus(time))
            .bind(self.name)
            .bind(self.holder.as_str())
            .required()
    }
}

impl CursorStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// The tables.
    pub fn sql(&self) -> &Sql {
        &self.sql
    }

    /// Takes a log's lease, unless another holder has it.
    pub async fn lease(
        &self,
        name: &'static str,
        holder: &str,
        now: Timestamp,
        time: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        const INSERT: &str = "
            INSERT INTO log_cursors (name, position, holder, leased_until) VALUES ($1, NULL, NULL, 0)
            ON CONFLICT (name) DO NOTHING";
        const TAKE: &str = "
            UPDATE log_cursors SET holder = $1, leased_until = $2
            WHERE name = $3 AND (holder IS NULL OR holder = $1 OR leased_until < $4) RETURNING position";
        let take = Statement::new(TAKE)
            .bind(holder)
            .bind(now.plus(time))
            .bind(name)
            .bind(now)
            .required();
        let statements = vec![Statement::new(INSERT).bind(name), take];
        match self.sql.write(None, statements).await? {
            Written::Refused(_) => Ok(None),
            taken @ Written::All(_) => {
                let rows = taken.into_last_rows();
                let position = rows.first().map_or(Ok(None), |row| row.get(0))?;
                Ok(Some(Lease {
                    name,
                    holder: holder.to_owned(),
                    position,
                }))
            }
        }
    }

    /// Gives a lease back, so that another needn't wait for its end.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE log_cursors SET holder = NULL, leased_until = 0 WHERE name = $1 AND holder = $2";
        let update = Statement::new(UPDATE)
            .bind(lease.name)
            .bind(lease.holder.as_str());
        self.sql.write(None, vec![update]).await?;
        Ok(())
    }

    /// How far each room was read, in the order of their ids, behind one of them; fewer than ten thousand at the end.
    pub async fn rooms(&self, after: &str) -> Result<Vec<(RoomId, u64)>, StoreError> {
        let select =
            "SELECT room_id, seq FROM room_cursors WHERE room_id > $1 ORDER BY room_id LIMIT $2";
        let select = Statement::new(select).bind(after).bind(ROOMS);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        rows.iter()
            .map(|row| Ok((row.get(0)?, row.get(1)?)))
            .collect()
    }

    /// What notes that a room was read up to a place.
    pub fn note_room(room: &RoomId, seq: u64) -> Statement {
        const UPSERT: &str = "
            INSERT INTO room_cursors (room_id, seq) VALUES ($1, $2)
            ON CONFLICT (room_id) DO UPDATE SET seq = excluded.seq";
        Statement::new(UPSERT).bind(room).bind(seq)
    }
}
