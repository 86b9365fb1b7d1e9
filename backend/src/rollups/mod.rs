//! What happened on each day: messages and active users, for administrators.
//!
//! Messages are counted by who reads the rooms' logs for notifications, in the transaction that notes how far they were read: each
//! once, whatever stops, and nobody goes through the messages again. Who was active is noted here, when they connect, when they
//! send a message, and on each day on which they are still connected. A job a day counts them ([`RollUp`]).

mod active_users;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use job_queue::{Job, JobError, JobId};
use protocol::{Day, ListRollups, Rollup, RollupPage, UserId};
use serde::{Deserialize, Serialize};
use storage::{FollowedBody, FollowedEntry, RollupStore, Sql, Statement};

use crate::{delivery::user_sockets::UserSockets, error::AppError};
use active_users::ActiveUsers;

/// How often those who were active are written down.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Roll-ups of this instance.
pub struct Rollups {
    store: RollupStore,
    active: ActiveUsers,
    user_sockets: Arc<UserSockets>,
}

/// The job of a day: the days before it are counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollUp {
    /// The day.
    pub day: Day,
}

impl Job for RollUp {
    const KIND: &'static str = "rollups.day";

    fn id(&self) -> JobId {
        JobId::new(self.day.to_string())
    }
}

/// What notes entries of logs in the roll-ups, and what is known once that is written.
#[derive(Default)]
pub struct Tally {
    /// For the transaction that notes that the entries were read.
    pub statements: Vec<Statement>,
    senders: BTreeMap<Day, Vec<UserId>>,
}

impl Rollups {
    /// Those in these tables.
    pub fn new(sql: Sql, user_sockets: Arc<UserSockets>) -> Self {
        Self {
            store: RollupStore::new(sql),
            active: ActiveUsers::default(),
            user_sockets,
        }
    }

    /// Somebody is connected.
    pub fn saw(&self, user: &UserId) {
        self.active.saw(Day::today(), user);
    }

    /// What entries of logs add, which are counted once if they are read once.
    pub fn tally(&self, entries: &[FollowedEntry]) -> Tally {
        let mut days: BTreeMap<Day, (u64, Vec<&UserId>)> = BTreeMap::new();
        for entry in entries {
            if let FollowedBody::Message(message) = &entry.body {
                let (messages, senders) = days.entry(Day::of(message.at)).or_default();
                *messages += 1;
                senders.push(&message.sender_id);
            }
        }
        let today = Day::today();
        let mut tally = Tally::default();
        for (day, (messages, senders)) in days {
            tally
                .statements
                .push(RollupStore::count_messages(day, messages));
            let unknown = self.active.unknown(day, senders);
            let notes = unknown.iter();
            let notes = notes.filter_map(|user| RollupStore::note_active(day, user, today));
            tally.statements.extend(notes);
            tally.senders.insert(day, unknown);
        }
        tally
    }

    /// What was tallied is written.
    pub fn wrote(&self, tally: &Tally) {
        for (day, senders) in &tally.senders {
            self.active.wrote(*day, senders);
        }
    }

    /// Writes down who is active, for ever.
    pub async fn run(&self) {
        let mut noted = Day::today();
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            let today = Day::today();
            if today != noted {
                // Who has stayed connected doesn't connect again. More than there is room for are noted in several rounds.
                let mut all = true;
                self.user_sockets
                    .for_each_user(|user| all &= self.active.saw(today, user));
                if all {
                    noted = today;
                }
            }
            self.flush().await;
        }
    }

    /// Writes down who was active.
    pub async fn flush(&self) {
        let today = Day::today();
        for (day, users) in self.active.take() {
            match self.store.note_all_active(day, &users, today).await {
                Ok(()) => self.active.wrote(day, &users),
                Err(error) => {
                    tracing::debug!(%error, "who was active is written down later");
                    for user in &users {
                        self.active.saw(day, user);
                    }
                }
            }
        }
    }

    /// Counts the days before that of a job. Any number of times, and whichever of them nobody has counted.
    ///
    /// # Errors
    /// If the tables are away.
    pub async fn close(&self, job: RollUp) -> Result<(), JobError> {
        Ok(self.store.close(job.day).await?)
    }
}

/// What happened on days that are over.
///
/// # Errors
/// Those of the tables.
pub async fn list(rollups: &Rollups, request: &ListRollups) -> Result<RollupPage, AppError> {
    let today = Day::today();
    let (from, to) = request.days(today);
    let stored = rollups.store.between(from, to.min(today.plus(-1))).await?;
    let shown = stored.into_iter().map(|stored| Rollup {
        day: stored.day,
        messages: stored.messages,
        active_users: stored.active_users,
    });
    Ok(RollupPage {
        rollups: shown.collect(),
        has_more: false,
    })
}
