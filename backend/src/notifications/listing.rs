//! A user's own notifications: listing them, and marking them as read.

use protocol::{
    ListNotifications, NotificationId, NotificationPage, ReadNotifications, Timestamp,
    UnreadNotifications, limits::PAGE_DEFAULT,
};

use super::{Notifications, shown};
use crate::{auth::actor::Actor, error::AppError, page};

/// A page of the actor's notifications.
///
/// # Errors
/// Those of the store.
pub async fn list(
    notifications: &Notifications,
    actor: &Actor,
    request: ListNotifications,
) -> Result<NotificationPage, AppError> {
    let stored = &notifications.stored;
    let before = request.before.as_ref().map(NotificationId::as_str);
    let page = stored.list(
        &actor.user_id,
        request.unread.unwrap_or(false),
        before,
        request.limit.unwrap_or(PAGE_DEFAULT),
    );
    let (page, unread) = tokio::try_join!(page, stored.unread(&actor.user_id))?;
    let listed = page.items.into_iter().map(shown);
    let mut listed = listed.collect::<Result<Vec<_>, _>>()?;
    Ok(NotificationPage {
        has_more: page::end(&mut listed).map_err(AppError::internal)? || page.has_more,
        notifications: listed,
        unread,
    })
}

/// Marks those of these that are the actor's as read.
///
/// # Errors
/// Those of the store.
pub async fn read(
    notifications: &Notifications,
    actor: &Actor,
    request: ReadNotifications,
) -> Result<UnreadNotifications, AppError> {
    let (stored, user) = (&notifications.stored, &actor.user_id);
    let ids: Vec<String> = request
        .ids
        .iter()
        .map(|id| id.as_str().to_owned())
        .collect();
    let marked = stored.mark_read(user, &ids, Timestamp::now()).await?;
    notifications.announce_read(user, marked);
    Ok(UnreadNotifications {
        unread: stored.unread(user).await?,
    })
}

/// Marks one as read.
///
/// # Errors
/// `not_found` if it isn't the actor's.
pub async fn read_one(
    notifications: &Notifications,
    actor: &Actor,
    id: &NotificationId,
) -> Result<(), AppError> {
    let (stored, user) = (&notifications.stored, &actor.user_id);
    let ids = [id.as_str().to_owned()];
    let marked = stored.mark_read(user, &ids, Timestamp::now()).await?;
    if marked.is_empty() && !stored.exists(user, id.as_str()).await? {
        return Err(AppError::not_found("notification"));
    }
    notifications.announce_read(user, marked);
    Ok(())
}

/// Marks all as read.
///
/// # Errors
/// Those of the store.
pub async fn read_all(notifications: &Notifications, actor: &Actor) -> Result<(), AppError> {
    let (stored, user) = (&notifications.stored, &actor.user_id);
    loop {
        let marked = stored.mark_all_read(user, Timestamp::now()).await?;
        if marked.is_empty() {
            return Ok(());
        }
        notifications.announce_read(user, marked);
    }
}
