//! Who is away is told by push, and after a longer while by mail: once of each notification, of several together, and not
//! of what they have read meanwhile.

use std::{collections::HashSet, time::Duration};

use job_queue::{Job, JobError, JobId, outbox};
use protocol::{RoomId, Timestamp, UserId, notification_data};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage::{
    NewNotification, Outlet, Statement, StoreError, StoredDevice, StoredNotification, StoredUser,
};

use super::{Notifications, preferences, quiet_hours};
use crate::{
    mail::{self, Digest, Missed, account_mail::job_error},
    push::{PushError, PushMessage},
};

/// Notifications of this time are told together.
const BURST: Duration = Duration::from_secs(10);

/// The clocks of instances may differ by this: one that is behind must not find that quiet hours still last.
const CLOCKS: Duration = Duration::from_secs(60);

/// A push service that wants to be asked later than this isn't asked again: jobs of other kinds wait in the same queues.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// For how long a device is known that was registered with another application's token, whose end nobody hears of.
const WITHOUT_SESSION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a push waits for others to the same user.
const OTHERS_OF_THE_USER: Duration = Duration::from_secs(1);

/// Characters of what is pushed.
const TEXT_MAX: usize = 300;

/// Enqueues a push to each device of a user of what they haven't read.
#[derive(Debug, Serialize, Deserialize)]
pub struct DispatchJob {
    user: UserId,
    /// Which burst it is of, or in which minute quiet hours end.
    burst: i64,
    /// True for the one of the end of quiet hours.
    #[serde(default)]
    after_quiet_hours: bool,
}

impl Job for DispatchJob {
    const KIND: &'static str = "notification.dispatch";

    fn id(&self) -> JobId {
        let mark = if self.after_quiet_hours { "q" } else { "" };
        JobId::new(format!("{}-{mark}{}", self.user, self.burst))
    }
}

/// Pushes to one device.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushJob {
    user: UserId,
    device: String,
    /// When its notifications were claimed, by which they are found.
    claimed_at: i64,
    /// How often quiet hours have put it off.
    #[serde(default)]
    put_off: u32,
}

impl PushJob {
    /// Of this message to this device, however often it is put off.
    fn message_id(&self) -> String {
        let device = Sha256::digest(&self.device);
        let device = device[..8].iter().map(|byte| format!("{byte:02x}"));
        let device: String = device.collect();
        format!("{}-{device}-{}", self.user, self.claimed_at)
    }
}

impl Job for PushJob {
    const KIND: &'static str = "notification.push";

    fn id(&self) -> JobId {
        let id = self.message_id();
        JobId::new(match self.put_off {
            0 => id,
            times => format!("{id}-{times}"),
        })
    }
}

/// Mails what a user has missed.
#[derive(Debug, Serialize, Deserialize)]
pub struct DigestJob {
    user: UserId,
    /// The end of the burst that it is of, by which its notifications are claimed.
    burst_ends: i64,
}

impl Job for DigestJob {
    const KIND: &'static str = "mail.digest";

    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", self.user, self.burst_ends))
    }
}

/// A part of time, and how long it still lasts.
fn burst_at(now: Timestamp, length: Duration) -> (i64, Duration) {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
    let burst = now.unix_ms() / length;
    let left = (burst + 1) * length - now.unix_ms();
    (burst, Duration::from_millis(left.unsigned_abs()))
}

impl Notifications {
    /// The jobs that tell the users of new notifications, for those who can be reached.
    pub(super) async fn jobs_for(
        &self,
        new: &[NewNotification],
    ) -> Result<Vec<Statement>, StoreError> {
        let unread = new.iter().filter(|it| !it.is_read);
        let users: HashSet<&UserId> = unread.map(|it| &it.user_id).collect();
        let users: Vec<UserId> = users.into_iter().cloned().collect();
        let now = Timestamp::now();
        let mut statements = Vec::new();
        let (burst, left) = burst_at(now, BURST.min(self.settings.push_after));
        for user in self.devices.users_with_some(&users).await? {
            let delay = self.settings.push_after + left;
            statements.push(outbox::statement_after(
                delay,
                &DispatchJob {
                    user,
                    burst,
                    after_quiet_hours: false,
                },
            )?);
        }
        let (_, left) = burst_at(now, self.settings.mail_after);
        let burst_ends = now.unix_ms() + i64::try_from(left.as_millis()).unwrap_or(0);
        for user in self.verified_emails.among(&users).await? {
            let delay = self.settings.mail_after + left;
            statements.push(outbox::statement_after(
                delay,
                &DigestJob { user, burst_ends },
            )?);
        }
        Ok(statements)
    }

    /// Enqueues a push to each device of what a user hasn't read, unless they are here or want to be left alone.
    ///
    /// # Errors
    /// If that can't be found out or written down.
    pub async fn dispatch(&self, job: DispatchJob) -> Result<(), JobError> {
        let user = job.user;
        let preferences = self.preferences.of(&user).await?;
        if !preferences.push || self.is_here(&user).await {
            return Ok(());
        }
        let now = Timestamp::now();
        let quiet = preferences.quiet_hours.as_ref();
        if let Some(left) = quiet.and_then(|hours| quiet_hours::left(hours, now)) {
            let ends = now.unix_ms() + i64::try_from(left.as_millis()).unwrap_or(0);
            let later = DispatchJob {
                user,
                burst: ends / 60_000,
                after_quiet_hours: true,
            };
            return Ok(self.jobs.enqueue_after(left + CLOCKS, &later).await?);
        }
        let devices = self.devices.of(&user).await?;
        let claimed_at = now.unix_ms();
        let mut jobs = Vec::with_capacity(devices.len());
        for device in devices {
            jobs.push(outbox::statement(&PushJob {
                user: user.clone(),
                device: device.id,
                claimed_at,
                put_off: 0,
            })?);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        // Newer ones as well: whoever is away after that time is away for them, too, and clocks needn't be compared.
        self.stored.claim(&user, Outlet::Push, now, jobs).await?;
        self.jobs.wake();
        Ok(())
    }

    /// Pushes to one device what was claimed for it and isn't read by now. What can't be delivered is counted and left, as users
    /// name the services: they could fill the list of failed jobs.
    ///
    /// # Errors
    /// If the push service didn't take it and may later.
    pub async fn push(&self, job: PushJob, is_last: bool) -> Result<(), JobError> {
        let claim = Timestamp::from_unix_ms(job.claimed_at);
        let Some(_place) = self.push.place(&job.user) else {
            return self.put_off(job, OTHERS_OF_THE_USER).await;
        };
        let Some(device) = self.devices.get(&job.user, &job.device).await? else {
            return Ok(());
        };
        let preferences = self.preferences.of(&job.user).await?;
        if !preferences.push || !self.is_signed_in(&job.user, &device).await? {
            return Ok(());
        }
        let (quiet, now) = (preferences.quiet_hours.as_ref(), Timestamp::now());
        if let Some(left) = quiet.and_then(|hours| quiet_hours::left(hours, now)) {
            return self.put_off(job, left + CLOCKS).await;
        }
        let unread = self.stored.claimed(&job.user, Outlet::Push, claim).await?;
        let unread = self.of_present_rooms(&job.user, unread).await?;
        if unread.is_empty() {
            return Ok(());
        }
        let id = job.message_id();
        let sent = match self.push.connect(&device.address).await {
            Ok(route) => {
                // Whoever finds it there doesn't know whether the other one has sent it.
                if !self.stored.begin_push(&id, now).await? {
                    tracing::debug!("a push of unknown outcome isn't repeated");
                    return Ok(());
                }
                let sent = route.send(&push_message(&unread)).await;
                if matches!(sent, Err(PushError::Later { .. })) {
                    self.stored.take_push_back(&id).await?;
                }
                sent
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) | Err(PushError::Unknown | PushError::Off) => Ok(()),
            Err(PushError::Gone) => Ok(self.devices.forget(&job.user, &device).await?),
            Err(PushError::Later {
                why,
                after: Some(after),
            }) if !is_last && after <= LONGEST_WAIT => Err(JobError::NotBefore(after, why.into())),
            Err(error @ PushError::Later { after: None, .. }) if !is_last => {
                Err(JobError::temporary(error))
            }
            Err(
                error @ (PushError::Refused(_) | PushError::Forbidden | PushError::Later { .. }),
            ) => {
                tracing::debug!(%error, "a push is left");
                Ok(())
            }
        }
    }

    /// Pushes it later, which is no failure.
    async fn put_off(&self, job: PushJob, left: Duration) -> Result<(), JobError> {
        let put_off = job.put_off.saturating_add(1);
        let later = PushJob { put_off, ..job };
        Ok(self.jobs.enqueue_after(left, &later).await?)
    }

    /// Mails what a user has missed.
    ///
    /// # Errors
    /// If the email didn't leave.
    pub async fn mail_digest(&self, job: DigestJob) -> Result<(), JobError> {
        let user = &job.user;
        let preferences = self.preferences.of(user).await?;
        if !preferences.mail {
            return Ok(());
        }
        let known = match self.store.user(user).await {
            Err(StoreError::NotFound) => return Ok(()),
            known => known?,
        };
        let Some(email) = self.verified_address(&known).await? else {
            return Ok(());
        };
        if self.is_here(user).await {
            return Ok(());
        }
        let now = Timestamp::now();
        // Before it is sent, so that another email to the same user doesn't hold the same.
        let claim = Timestamp::from_unix_ms(job.burst_ends);
        let (stored, outlet) = (&self.stored, Outlet::Mail);
        stored.claim(user, outlet, claim, Vec::new()).await?;
        let unread = stored.claimed(user, outlet, claim).await?;
        let unread = self.of_present_rooms(user, unread).await?;
        if unread.is_empty() {
            return Ok(());
        }
        let count = unread.len();
        let missed = unread.into_iter().map(|it| Missed {
            title: it.title,
            body: it.body,
        });
        let digest = Digest {
            missed: missed.collect(),
            count,
        };
        let message = mail::digest(
            preferences::language(&preferences),
            &email,
            &known.display_name,
            &digest,
            self.links.home(),
            self.links.unsubscribe(user, &email, now),
        );
        // The same email again has the same id, should this end before anybody knows that it was sent.
        let id = format!("digest-{}", job.id());
        self.mail.send(&message, &id).await.map_err(job_error)
    }

    /// A user's address, if they have shown it to be theirs.
    async fn verified_address(&self, user: &StoredUser) -> Result<Option<String>, StoreError> {
        let Some(email) = &user.email else {
            return Ok(None);
        };
        let is_theirs = self.verified_emails.contains(&user.id, email).await?;
        Ok(is_theirs.then(|| email.clone()))
    }

    /// Those about rooms that the user is still in: who isn't in a room any more isn't told what is said there.
    async fn of_present_rooms(
        &self,
        user: &UserId,
        mut unread: Vec<StoredNotification>,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        let rooms: HashSet<RoomId> = unread.iter().map(|it| it.room_id.clone()).collect();
        let mut left = HashSet::new();
        for room in rooms {
            match self.store.membership(&room, user).await {
                Ok(membership) if membership.role.is_some() => {}
                Ok(_) | Err(StoreError::NotFound) => {
                    left.insert(room);
                }
                Err(error) => return Err(error),
            }
        }
        unread.retain(|it| !left.contains(&it.room_id));
        Ok(unread)
    }

    /// True if a user has a connection, on whatever instance. Where that can't be found out they count as away.
    async fn is_here(&self, user: &UserId) -> bool {
        self.user_sockets.count_of_user(user) > 0 || self.bus.has_listeners_of(user).await
    }

    /// True unless the sign-in with which a device was registered has ended; then the device is forgotten.
    async fn is_signed_in(&self, user: &UserId, device: &StoredDevice) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let is_signed_in = match &device.session_id {
            Some(session) => {
                let sessions = self.sessions.sessions(user, now).await?;
                sessions.iter().any(|known| known.id == *session)
            }
            None => {
                let at = device.registered_at.unix_ms();
                let valid_from = match self.store.user(user).await {
                    Err(StoreError::NotFound) => None,
                    known => known?.external.map(|tokens| tokens.valid_from),
                };
                valid_from.is_some_and(|from| at >= from.unix_ms())
                    && now.unix_ms() - at < WITHOUT_SESSION.as_millis() as i64
            }
        };
        if !is_signed_in {
            self.devices.forget(user, device).await?;
        }
        Ok(is_signed_in)
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// One message for all of them: the last one by its words, the others by their number.
fn push_message(unread: &[StoredNotification]) -> PushMessage {
    let empty = || notification_data(&RoomId::trusted("none"), None, "");
    let last = unread.last();
    let mut data = last
        .and_then(|it| serde_json::from_str(&it.data).ok())
        .unwrap_or_else(empty);
    let id = last.map(|it| it.id.clone()).unwrap_or_default();
    data.insert("notificationId".to_owned(), id.clone().into());
    data.insert("count".to_owned(), unread.len().into());
    let title = last.map(|it| clipped(&it.title)).unwrap_or_default();
    PushMessage {
        title: match unread.len() {
            0 | 1 => title,
            count => format!("{title} (+{})", count - 1),
        },
        body: last.map(|it| clipped(&it.body)).unwrap_or_default(),
        data,
        // 32 letters of base64url at most: an id without its dashes.
        topic: id.replace('-', ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_where_the_next_begins() {
        let (burst, left) = burst_at(Timestamp::from_unix_ms(12_500), Duration::from_secs(5));
        assert_eq!((burst, left), (2, Duration::from_millis(2_500)));
        let (burst, left) = burst_at(Timestamp::from_unix_ms(15_000), Duration::from_secs(5));
        assert_eq!((burst, left), (3, Duration::from_secs(5)));
    }
}
