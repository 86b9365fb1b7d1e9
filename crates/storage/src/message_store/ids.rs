//! Ids and epochs, which the store gives out.

/// A new id, later in order than every earlier one of this process. Its end is random.
pub(super) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A new epoch of a room's log. Random, so that a room restored twice from one backup has two different ones.
pub(super) fn new_epoch() -> String {
    new_id().chars().rev().take(8).collect()
}
