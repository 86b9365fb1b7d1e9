//! What chat has gathered in memory: who has read how far, which marks notifications as read, and who was added to rooms.

use std::{collections::HashMap, time::Duration};

use job_queue::JobError;
use protocol::{NotificationKind, Timestamp, UserId, notification_data};
use storage::{NewNotification, StoreError};

use super::Notifications;
use crate::chat::news::{Invitation, InvitationJob};

/// How often it is taken.
const EVERY: Duration = Duration::from_millis(500);

/// Takes what was gathered, for ever.
pub(super) async fn run(notifications: &Notifications) {
    loop {
        tokio::time::sleep(EVERY).await;
        mark_read(notifications).await;
        invite(notifications).await;
    }
}

async fn mark_read(notifications: &Notifications) {
    let read = notifications.news.take_read();
    if read.is_empty() {
        return;
    }
    let now = Timestamp::now();
    match notifications.stored.mark_places_read(&read, now).await {
        Ok(marked) => {
            let mut by_user: HashMap<UserId, Vec<String>> = HashMap::new();
            for (user, id) in marked {
                by_user.entry(user).or_default().push(id);
            }
            for (user, ids) in by_user {
                notifications.announce_read(&user, ids);
            }
        }
        Err(error) => {
            notifications.counts.failed();
            tracing::debug!(%error, "notifications aren't marked as read yet");
            for (user, room, seq) in &read {
                notifications.news.read(user, room, *seq);
            }
        }
    }
}

async fn invite(notifications: &Notifications) {
    let invitations = notifications.news.take_invitations();
    if invitations.is_empty() {
        return;
    }
    let mut left = Vec::new();
    for invitation in invitations {
        match notifications.invite(&invitation).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => {
                notifications.counts.failed();
                tracing::debug!(%error, "an invitation isn't stored yet");
                left.push(invitation);
            }
        }
    }
    notifications.news.give_back(left);
}

impl Notifications {
    /// Tells those who were added to a room and haven't been told.
    ///
    /// # Errors
    /// If that isn't stored.
    pub async fn notify_invited(&self, job: InvitationJob) -> Result<(), JobError> {
        for invitation in job.invitations() {
            match self.invite(&invitation).await {
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Tells somebody that they were added to a room, if they are still in it.
    async fn invite(&self, invitation: &Invitation) -> Result<(), StoreError> {
        let Invitation { room, user, by, at } = invitation;
        let membership = self.store.membership(room, user).await?;
        if membership.role.is_none() || self.is_blocked(by, user).await? {
            return Ok(());
        }
        let Some(name) = self.name(by).await? else {
            return Ok(());
        };
        let new = NewNotification {
            user_id: user.clone(),
            kind: NotificationKind::Invitation.name(),
            room_id: room.clone(),
            seq: at.unix_ms().unsigned_abs(),
            actor_id: by.clone(),
            title: format!("{name} · {}", self.store.room(room, None).await?.name),
            body: String::new(),
            data: serde_json::Value::Object(notification_data(room, None, by.as_str())).to_string(),
            at: *at,
            is_read: false,
        };
        self.store_new(&[new], Vec::new()).await?;
        Ok(())
    }
}
