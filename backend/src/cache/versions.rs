//! Versions of everything that is cached, by which a value that was read before an invalidation is told from one read after.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire},
    },
};

/// Keys share a version if their hashes collide, which costs a load now and then.
const VERSIONS: usize = 1 << 14;

pub(super) struct Versions {
    of_keys: Box<[AtomicU32]>,
    /// Raised when invalidations may have been missed.
    of_all: AtomicU32,
    hasher: RandomState,
}

/// The version of a key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    place: u16,
    of_key: u32,
    of_all: u32,
}

impl Versions {
    pub(super) fn new() -> Self {
        Self {
            of_keys: (0..VERSIONS).map(|_| AtomicU32::new(0)).collect(),
            of_all: AtomicU32::new(0),
            hasher: RandomState::new(),
        }
    }

    /// To be taken before the value is read.
    pub(super) fn stamp(&self, key: &str) -> Stamp {
        let place = self.place(key);
        Stamp {
            place,
            of_key: self.of_keys[usize::from(place)].load(Acquire),
            of_all: self.of_all.load(Acquire),
        }
    }

    /// True if nothing was raised since.
    pub(super) fn is_current(&self, stamp: Stamp) -> bool {
        let of_key = self.of_keys[usize::from(stamp.place)].load(Acquire);
        of_key == stamp.of_key && self.of_all.load(Acquire) == stamp.of_all
    }

    /// To be called after the change.
    pub(super) fn raise(&self, key: &str) {
        self.of_keys[usize::from(self.place(key))].fetch_add(1, AcqRel);
    }

    pub(super) fn raise_all(&self) {
        self.of_all.fetch_add(1, AcqRel);
    }

    fn place(&self, key: &str) -> u16 {
        (self.hasher.hash_one(key) % VERSIONS as u64) as u16
    }
}
