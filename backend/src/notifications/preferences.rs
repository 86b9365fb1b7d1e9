//! How a user wants to be told.

use protocol::{
    Language, Notify, Preferences, QuietHours, RoomId, RoomKind, RoomPreferences, UpdatePreferences,
};
use storage::{PreferencesChange, StoredPreferences, StoredQuietHours};

use super::{Notifications, quiet_hours};
use crate::{auth::actor::Actor, chat::access, error::AppError};

/// The actor's preferences.
///
/// # Errors
/// Those of the store.
pub async fn read(notifications: &Notifications, actor: &Actor) -> Result<Preferences, AppError> {
    Ok(shown(notifications.preferences.of(&actor.user_id).await?))
}

/// Changes some of them.
///
/// # Errors
/// `invalid` for a time zone that nobody knows.
pub async fn update(
    notifications: &Notifications,
    actor: &Actor,
    request: UpdatePreferences,
) -> Result<Preferences, AppError> {
    let quiet_hours = request
        .quiet_hours
        .map(|hours| hours.map(stored).transpose());
    let change = PreferencesChange {
        mail: request.mail,
        push: request.push,
        quiet_hours: quiet_hours.transpose()?,
        language: request.language.map(|language| language.code().to_owned()),
    };
    let store = &notifications.preferences;
    Ok(shown(store.change(&actor.user_id, &change).await?))
}

fn stored(hours: QuietHours) -> Result<StoredQuietHours, AppError> {
    quiet_hours::known_zone(&hours.time_zone)?;
    let (from, to) = hours.minutes()?;
    Ok(StoredQuietHours {
        from,
        to,
        time_zone: hours.time_zone,
    })
}

fn shown(preferences: StoredPreferences) -> Preferences {
    Preferences {
        mail: preferences.mail,
        push: preferences.push,
        language: language(&preferences),
        quiet_hours: preferences.quiet_hours.map(|hours| QuietHours {
            from: QuietHours::time_of_day(hours.from),
            to: QuietHours::time_of_day(hours.to),
            time_zone: hours.time_zone,
        }),
    }
}

/// The language of a user's mails.
pub fn language(preferences: &StoredPreferences) -> Language {
    let said = preferences.language.as_deref();
    said.and_then(Language::of_code).unwrap_or_default()
}

/// What the actor is told of in a room.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn read_room(
    notifications: &Notifications,
    actor: &Actor,
    room: &RoomId,
) -> Result<RoomPreferences, AppError> {
    let (_, kind) = access::joined(&notifications.store, actor, room).await?;
    let said = notifications
        .preferences
        .in_room(room, &actor.user_id)
        .await?;
    let said = said.as_deref().and_then(Notify::named);
    Ok(RoomPreferences {
        notify: said.unwrap_or(match kind {
            RoomKind::Direct => Notify::All,
            _ => Notify::Mentions,
        }),
    })
}

/// Sets it.
///
/// # Errors
/// As [`read_room`].
pub async fn put_room(
    notifications: &Notifications,
    actor: &Actor,
    room: &RoomId,
    request: RoomPreferences,
) -> Result<(), AppError> {
    access::joined(&notifications.store, actor, room).await?;
    let notify = request.notify.name();
    notifications
        .preferences
        .set_in_room(room, &actor.user_id, notify)
        .await?;
    Ok(())
}
