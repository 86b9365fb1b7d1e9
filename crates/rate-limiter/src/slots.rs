//! What one principal was granted in the last window, by slot, in memory.

use crate::tier::Shape;

/// Permits by slot, the earliest first. Times are in milliseconds since the start of the limiter.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    permits: Vec<(u32, u32)>,
    total: u32,
}

impl Slots {
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.permits.capacity() * size_of::<(u32, u32)>()
    }

    /// Forgets what is out of the window.
    pub(crate) fn forget(&mut self, shape: &Shape, now: u64) {
        let Some(&(earliest, _)) = self.permits.first() else {
            return;
        };
        let over = |slot: u32| end(shape, slot) <= now;
        if !over(earliest) {
            return;
        }
        let count = self
            .permits
            .iter()
            .take_while(|(slot, _)| over(*slot))
            .count();
        let gone: u32 = self
            .permits
            .drain(..count)
            .map(|(_, permits)| permits)
            .sum();
        self.total -= gone;
    }

    pub(crate) fn add(&mut self, shape: &Shape, permits: u32, now: u64) {
        let slot = (now / shape.width) as u32;
        self.total = self.total.saturating_add(permits);
        match self.permits.last_mut() {
            // Callers read the clock before they have the lock.
            Some((last, count)) if *last >= slot => *count = count.saturating_add(permits),
            _ => self.permits.push((slot, permits)),
        }
    }

    /// How long until `wanted` permits, at most the limit, are free; 0 if they are.
    pub(crate) fn wait(&self, shape: &Shape, wanted: u32, now: u64) -> u64 {
        let used = u64::from(self.total) + u64::from(wanted);
        let mut missing = used.saturating_sub(shape.limit.into());
        let mut wait = 0;
        for (slot, permits) in &self.permits {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub((*permits).into());
            wait = end(shape, *slot).saturating_sub(now);
        }
        wait
    }

    /// How long until the earliest permit that counts is free again.
    pub(crate) fn reset(&self, shape: &Shape, now: u64) -> u64 {
        let first = self.permits.first();
        first.map_or(0, |(slot, _)| end(shape, *slot).saturating_sub(now))
    }
}

/// When the permits of a slot are free again.
fn end(shape: &Shape, slot: u32) -> u64 {
    (u64::from(slot) + 1) * shape.width + shape.hold
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tier::{Limit, Mode};

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit(
            steps in prop::collection::vec((0_u64..3_000, 1_u32..4), 1..300),
            limit in 1_u32..20,
        ) {
            let shape = Shape::new(Limit::of(limit, 7), Mode::Strict);
            let (mut slots, mut now, mut granted) = (Slots::default(), 0, Vec::new());
            for (step, wanted) in steps {
                now += step;
                let wanted = wanted.min(limit);
                slots.forget(&shape, now);
                let wait = slots.wait(&shape, wanted, now);
                if wait == 0 {
                    slots.add(&shape, wanted, now);
                    granted.push((now, wanted));
                } else {
                    // The wait is long enough, and not by more than a slot.
                    prop_assert!(wait <= 7_000 + shape.width);
                    let counted = |at: u64| -> u32 {
                        let held = granted.iter().filter(|(then, _)| then + 7_000 + shape.width > at);
                        held.map(|(_, permits)| permits).sum()
                    };
                    prop_assert!(counted(now + wait + shape.width) + wanted <= limit);
                }
                let in_window = granted.iter().filter(|(then, _)| *then + 7_000 > now);
                prop_assert!(in_window.map(|(_, permits)| permits).sum::<u32>() <= limit);
            }
        }
    }
}
