//! Keys of the entries of all rooms' logs, single integers: the room's number above, the `seq` below.

/// The largest `seq` that a room's log can reach here.
pub(super) const SEQ_MAX: u64 = u32::MAX as u64 - 1;

/// The key of an entry. Every `seq` that is too large becomes the one behind the largest, where
/// nothing ever is.
pub(super) fn entry(room: i64, seq: u64) -> i64 {
    room << 32 | i64::from(u32::try_from(seq).unwrap_or(u32::MAX))
}

/// The `seq` of a key.
pub(super) fn seq_of(entry: i64) -> u64 {
    entry.unsigned_abs() & u64::from(u32::MAX)
}

/// The room of a key.
pub(super) fn room_of(entry: i64) -> i64 {
    entry >> 32
}
