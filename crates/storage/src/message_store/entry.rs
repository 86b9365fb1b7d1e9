//! Places in the logs of all rooms as single integers: the room's number above, the `seq` below.

/// The largest `seq` that a room's log can reach here.
pub(super) const SEQ_MAX: u64 = u32::MAX as u64;

/// The key of a place; a `seq` that can't exist becomes the largest that can.
pub(super) fn entry(room: i64, seq: u64) -> i64 {
    room << 32 | i64::from(u32::try_from(seq).unwrap_or(u32::MAX))
}

/// The `seq` of a key.
pub(super) fn seq_of(entry: i64) -> u64 {
    entry.unsigned_abs() & SEQ_MAX
}
