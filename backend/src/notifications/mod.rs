//! Notifications: what concerns a user while they look elsewhere or are away. They are derived from the rooms' logs behind a
//! durable cursor, stored once, and told to all connections of the user.
//!
//! What must stay true: nothing of this is on the path of a message; a message that was acked is derived, whatever stops in
//! between, and no notification is there twice.

mod away;
mod counts;
mod derivation;
pub mod devices;
mod embedded_log;
mod fleet_log;
mod gathered;
pub mod listing;
pub mod preferences;
mod quiet_hours;

use std::{sync::Arc, time::Duration};

use job_queue::JobQueue;
use protocol::{
    Notification, NotificationId, NotificationKind, NotificationsRead, Timestamp, UserId,
};
use storage::{
    CursorStore, DeviceStore, FollowedEntry, MessageStore, NewNotification, NotificationStore,
    PreferenceStore, Sessions, Sql, Statement, StoreError, StoredNotification, VerifiedEmails,
};
use tokio::task::JoinSet;

use crate::{
    chat::news::News,
    config::NotificationSettings,
    delivery::{Delivery, user_sockets::UserSockets},
    error::AppError,
    fleet::bus::Bus,
    mail::{Links, Mail},
    push::Push,
    rollups::Rollups,
};

pub use away::{DigestJob, DispatchJob, PushJob};
pub use counts::Counts;

/// How long notifications are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long it is known that a push was sent: longer than its job may be tried again.
const PUSHES_KEPT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Between two looks at what is too old, and how many are removed at a time.
const UPKEEP_EVERY: Duration = Duration::from_secs(600);
const REMOVED_AT_ONCE: u32 = 5_000;

/// Rooms that are looked at at a time, whether they are still there.
const ROOMS_AT_ONCE: u32 = 500;

/// Notifications of all users.
pub struct Notifications {
    store: MessageStore,
    stored: NotificationStore,
    preferences: PreferenceStore,
    devices: DeviceStore,
    verified_emails: VerifiedEmails,
    cursors: CursorStore,
    sessions: Sessions,
    user_sockets: Arc<UserSockets>,
    jobs: JobQueue,
    push: Arc<Push>,
    mail: Arc<Mail>,
    links: Arc<Links>,
    settings: NotificationSettings,
    delivery: Delivery,
    bus: Arc<Bus>,
    news: Arc<News>,
    rollups: Arc<Rollups>,
    counts: Counts,
    /// Of this instance, as the holder of a lease.
    holder: String,
}

/// What notifications are built from.
pub struct NotificationParts {
    /// Accounts, rooms and logs.
    pub store: MessageStore,
    /// The tables.
    pub sql: Sql,
    /// Sessions, with which devices end.
    pub sessions: Sessions,
    /// The connected users.
    pub user_sockets: Arc<UserSockets>,
    /// What is done later.
    pub jobs: JobQueue,
    /// Push to devices.
    pub push: Arc<Push>,
    /// Mail.
    pub mail: Arc<Mail>,
    /// Links in emails.
    pub links: Arc<Links>,
    /// When those who are away are told.
    pub settings: NotificationSettings,
    /// Events to clients.
    pub delivery: Delivery,
    /// The bus between instances.
    pub bus: Arc<Bus>,
    /// What happened in rooms.
    pub news: Arc<News>,
    /// What happens on each day, which is counted by the same entries.
    pub rollups: Arc<Rollups>,
    /// This instance.
    pub instance: String,
}

impl Notifications {
    /// Those in these tables.
    pub fn new(parts: NotificationParts) -> Self {
        let sql = parts.sql;
        Self {
            store: parts.store,
            stored: NotificationStore::new(sql.clone()),
            preferences: PreferenceStore::new(sql.clone()),
            devices: DeviceStore::new(sql.clone()),
            verified_emails: VerifiedEmails::new(sql.clone()),
            cursors: CursorStore::new(sql),
            sessions: parts.sessions,
            user_sockets: parts.user_sockets,
            jobs: parts.jobs,
            push: parts.push,
            mail: parts.mail,
            links: parts.links,
            settings: parts.settings,
            delivery: parts.delivery,
            bus: parts.bus,
            news: parts.news,
            rollups: parts.rollups,
            counts: Counts::default(),
            holder: parts.instance,
        }
    }

    /// Starts what derives notifications, and what is done from time to time.
    pub fn spawn_tasks(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let notifications = self.clone();
        if self.bus.has_peers() {
            tasks.spawn(async move { fleet_log::run(&notifications).await });
        } else {
            tasks.spawn(async move { embedded_log::run(&notifications).await });
        }
        let notifications = self.clone();
        tasks.spawn(async move { gathered::run(&notifications).await });
        let notifications = self.clone();
        tasks.spawn(async move { notifications.run_upkeep().await });
    }

    /// What was counted here.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    async fn run_upkeep(&self) {
        let mut after = String::new();
        loop {
            match self.forget_rooms(&after).await {
                Ok(last) => after = last,
                Err(error) => tracing::debug!(%error, "rooms that are gone weren't forgotten"),
            }
            if let Err(error) = self.remove_old().await {
                tracing::warn!(%error, "old notifications weren't removed");
            }
            tokio::time::sleep(UPKEEP_EVERY).await;
        }
    }

    /// Removes what is too old, in portions, so that no transaction takes long.
    async fn remove_old(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let (stored, portion) = (&self.stored, REMOVED_AT_ONCE);
        while stored.delete_before(now.minus(KEPT), portion).await? == u64::from(portion) {}
        while stored
            .forget_pushes(now.minus(PUSHES_KEPT), portion)
            .await?
            == u64::from(portion)
        {}
        Ok(())
    }

    /// How devices are reached.
    pub fn push_service(&self) -> &Push {
        &self.push
    }

    /// How emails leave.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Forgets which of the next rooms are gone, and returns the last one; none behind which there is none.
    async fn forget_rooms(&self, after: &str) -> Result<String, StoreError> {
        let rooms = self.preferences.rooms(after, ROOMS_AT_ONCE).await?;
        let mut gone = Vec::new();
        for room in &rooms {
            if let Err(StoreError::NotFound) = self.store.room(room, None).await {
                gone.push(room.clone());
            }
        }
        self.preferences.forget_rooms(&gone).await?;
        let last = rooms.last().map(|room| room.as_str().to_owned());
        Ok(last.unwrap_or_default())
    }

    /// Stores what follows from entries of logs, with what notes that they were read. False, and nothing happened, if that is
    /// required and refused.
    async fn add(
        &self,
        entries: &[FollowedEntry],
        mut statements: Vec<Statement>,
    ) -> Result<bool, StoreError> {
        let derived = self.derive(entries).await?;
        statements.extend(derived.changes);
        let mut tally = self.rollups.tally(entries);
        statements.append(&mut tally.statements);
        let is_stored = self.store_new(&derived.new, statements).await?;
        if is_stored {
            self.rollups.wrote(&tally);
            self.counts.read_entries(entries.len());
        }
        Ok(is_stored)
    }

    /// Stores notifications that aren't there yet, and tells their users.
    async fn store_new(
        &self,
        new: &[NewNotification],
        mut statements: Vec<Statement>,
    ) -> Result<bool, StoreError> {
        let jobs = self.jobs_for(new).await?;
        statements.extend(jobs);
        let Some(added) = self.stored.add(new, statements).await? else {
            return Ok(false);
        };
        self.announce(added);
        Ok(true)
    }

    /// Tells the connections of users of what is new for them.
    fn announce(&self, added: Vec<StoredNotification>) {
        for stored in added {
            self.counts.added(&stored.kind);
            if stored.read_at.is_some() {
                continue;
            }
            let user = stored.user_id.clone();
            match shown(stored) {
                Ok(notification) => self.delivery.notify(&user, &notification),
                Err(error) => tracing::error!(%error, "a stored notification can't be read"),
            }
        }
    }

    /// Tells the connections of a user of what was read.
    fn announce_read(&self, user: &UserId, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let ids = ids.into_iter().map(NotificationId::trusted).collect();
        self.delivery.notify(user, &NotificationsRead { ids });
    }
}

/// A notification as its user sees it.
fn shown(stored: StoredNotification) -> Result<Notification, AppError> {
    let unknown = || AppError::internal("a kind of notifications that this version doesn't know");
    Ok(Notification {
        kind: NotificationKind::named(&stored.kind).ok_or_else(unknown)?,
        id: NotificationId::trusted(stored.id),
        title: stored.title,
        body: stored.body,
        data: serde_json::from_str(&stored.data).map_err(AppError::internal)?,
        created_at: stored.created_at,
        read_at: stored.read_at,
    })
}
