//! What the write path counts, for operators.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted from 0 on.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one store. The fields are explained at [`crate::StoreStats`] and [`crate::FleetStats`].
#[derive(Default)]
pub struct Counts {
    pub refused: Count,
    pub groups: Count,
    pub grouped: Count,
    pub stored: Count,
    pub duplicates: Count,
    pub collided: Count,
    pub unknown: Count,
    pub failed: Count,
    pub gaps_filled: Count,
    pub returned: Count,
    pub counters_restored: Count,
    pub degraded_reservations: Count,
}
