//! The buffer that all connections of a worker thread read through, so that none keeps one of its own.

use std::cell::RefCell;

/// Bytes of one read.
const LENGTH: usize = 64 * 1024;

/// Reads of one connection before others get their turn.
pub(crate) const READS_PER_WAKE: usize = 8;

thread_local! {
    pub(crate) static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LENGTH]);
}
