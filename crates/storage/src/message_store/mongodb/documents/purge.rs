//! Documents of what is to be purged.

use std::time::Duration;

use mongodb::bson::DateTime;
use protocol::{RoomId, UserId};
use serde::{Deserialize, Serialize};

/// How long after a deletion its purge begins, and how long an instance has one for itself: longer than any operation
/// may take.
const AFTER: Duration = Duration::from_secs(60);

/// A deleted room or user whose data is still to be removed.
#[derive(Serialize, Deserialize)]
pub struct PurgeDocument {
    #[serde(rename = "_id")]
    pub what: Remains,
    /// Not before. Moves when an instance takes it up.
    due: DateTime,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remains {
    Room(RoomId),
    User(UserId),
}

/// The time until which an instance that takes a purge up has it for itself.
pub fn later() -> DateTime {
    let ms = i64::try_from(AFTER.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(ms))
}

impl PurgeDocument {
    pub fn of_room(room: &RoomId) -> Self {
        Self {
            what: Remains::Room(room.clone()),
            due: later(),
        }
    }

    pub fn of_user(user: &UserId) -> Self {
        Self {
            what: Remains::User(user.clone()),
            due: later(),
        }
    }
}
