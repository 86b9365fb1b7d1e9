//! Values as documents hold them.

use mongodb::bson::DateTime;
use protocol::{Timestamp, UserId};

/// A moment as it is stored.
pub fn time(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.unix_ms())
}

/// A moment that was stored.
pub fn timestamp(at: DateTime) -> Timestamp {
    Timestamp::from_unix_ms(at.timestamp_millis())
}

/// The ids as a list for `$in`.
pub fn texts<'a>(ids: impl IntoIterator<Item = &'a UserId>) -> Vec<&'a str> {
    ids.into_iter().map(UserId::as_str).collect()
}
