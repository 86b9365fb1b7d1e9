//! What has happened in rooms, for those who derive something of it away from the path of a message: which logs have gone
//! on, who has read how far, and who was added by whom. Gathered in memory and bounded. Logs that have gone on are found again
//! in the store, and invitations in a job; read marks that were lost with the process aren't.

use std::{collections::HashMap, time::Duration};

use job_queue::{Job, JobId, JobQueue};
use parking_lot::Mutex;
use protocol::{RoomId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::timeout};

/// Rooms whose logs have gone on, at most; with more, all are looked at.
const ROOMS: usize = 50_000;

/// Read marks and invitations that wait, at most.
const WAITING: usize = 50_000;

/// Somebody was added to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The room.
    pub room: RoomId,
    /// Who was added.
    pub user: UserId,
    /// By whom.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// After which an invitation that was lost with its process is found again: usually it is stored long before.
const FOUND_AGAIN: Duration = Duration::from_secs(5);

/// How long whoever adds somebody waits until that is written down.
const WRITING: Duration = Duration::from_secs(1);

/// Sees to it that those who were added to a room are told, should the process end before it has told them.
#[derive(Debug, Serialize, Deserialize)]
pub struct InvitationJob {
    room: RoomId,
    users: Vec<UserId>,
    by: UserId,
    at_ms: i64,
}

impl InvitationJob {
    /// One for each of them.
    pub fn invitations(self) -> impl Iterator<Item = Invitation> {
        let Self {
            room, users, by, ..
        } = self;
        let at = Timestamp::from_unix_ms(self.at_ms);
        users.into_iter().map(move |user| Invitation {
            room: room.clone(),
            user,
            by: by.clone(),
            at,
        })
    }
}

impl Job for InvitationJob {
    const KIND: &'static str = "notification.invitation";

    fn id(&self) -> JobId {
        let first = self.users.first().map_or("", UserId::as_str);
        JobId::new(format!("{}-{first}-{}", self.room, self.at_ms))
    }
}

/// What was gathered and nobody has taken yet.
#[derive(Default)]
pub struct News {
    /// Where there are tables.
    jobs: Option<JobQueue>,
    written: Mutex<Written>,
    read: Mutex<HashMap<(UserId, RoomId), u64>>,
    invitations: Mutex<Vec<Invitation>>,
    /// For [`News::written_rooms`].
    arrived: Notify,
}

/// Rooms whose logs have gone on.
#[derive(Default)]
struct Written {
    /// Up to where.
    rooms: HashMap<RoomId, u64>,
    /// There were more.
    all: bool,
}

/// Which logs have gone on.
#[derive(Debug, PartialEq, Eq)]
pub enum WrittenRooms {
    /// These, up to these places.
    Some(Vec<(RoomId, u64)>),
    /// Nobody knows which.
    All,
}

impl News {
    /// With the queue that keeps what must not be lost.
    pub(super) fn new(jobs: Option<JobQueue>) -> Self {
        Self {
            jobs,
            ..Self::default()
        }
    }

    /// Logs have gone on.
    pub(super) fn written(&self, rooms: &[(RoomId, u64)]) {
        if rooms.is_empty() {
            return;
        }
        let mut written = self.written.lock();
        for (room, head) in rooms {
            if written.rooms.len() < ROOMS || written.rooms.contains_key(room) {
                let known = written.rooms.entry(room.clone()).or_default();
                *known = (*known).max(*head);
            } else {
                written.all = true;
            }
        }
        drop(written);
        self.arrived.notify_one();
    }

    /// A member has read up to a place.
    pub fn read(&self, user: &UserId, room: &RoomId, seq: u64) {
        let mut read = self.read.lock();
        let key = (user.clone(), room.clone());
        if read.len() < WAITING || read.contains_key(&key) {
            let known = read.entry(key).or_default();
            *known = (*known).max(seq);
        }
    }

    /// Users were added to a room by somebody else. That is durable afterwards, unless the tables can't be reached.
    pub(super) async fn invited(&self, room: &RoomId, users: Vec<UserId>, by: &UserId) {
        let Some(jobs) = &self.jobs else { return };
        let job = InvitationJob {
            room: room.clone(),
            users,
            by: by.clone(),
            at_ms: Timestamp::now().unix_ms(),
        };
        match timeout(WRITING, jobs.enqueue_after(FOUND_AGAIN, &job)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "invitations are in memory alone"),
            Err(_) => tracing::warn!("invitations are in memory alone: the tables don't answer"),
        }
        self.give_back(job.invitations().collect());
    }

    /// Waits until a log has gone on.
    pub async fn written_rooms(&self) -> WrittenRooms {
        loop {
            let Written { rooms, all } = std::mem::take(&mut *self.written.lock());
            if all {
                return WrittenRooms::All;
            }
            if !rooms.is_empty() {
                return WrittenRooms::Some(rooms.into_iter().collect());
            }
            self.arrived.notified().await;
        }
    }

    /// Who has read how far.
    pub fn take_read(&self) -> Vec<(UserId, RoomId, u64)> {
        let read = std::mem::take(&mut *self.read.lock());
        read.into_iter()
            .map(|((user, room), seq)| (user, room, seq))
            .collect()
    }

    /// Who was added.
    pub fn take_invitations(&self) -> Vec<Invitation> {
        std::mem::take(&mut *self.invitations.lock())
    }

    /// What couldn't be stored yet.
    pub fn give_back(&self, invitations: Vec<Invitation>) {
        let mut waiting = self.invitations.lock();
        let space = WAITING.saturating_sub(waiting.len());
        waiting.extend(invitations.into_iter().take(space));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_is_told_of_once_with_its_last_place() {
        let news = News::default();
        let room = RoomId::trusted("r");
        news.written(&[(room.clone(), 3)]);
        news.written(&[(room.clone(), 2)]);
        assert_eq!(
            news.written_rooms().await,
            WrittenRooms::Some(vec![(room, 3)])
        );
        let many: Vec<_> = (0..=ROOMS)
            .map(|room| (RoomId::trusted(format!("r{room}")), 1))
            .collect();
        news.written(&many);
        assert_eq!(news.written_rooms().await, WrittenRooms::All);
    }
}
