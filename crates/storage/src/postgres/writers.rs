//! Who has written here lately, so that they read it.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

/// Writers that are told apart. Beyond that all count as having written until the replicas have everything.
const WRITERS: usize = 100_000;

/// When writers last wrote, as long as a replica in rotation may not have it.
#[derive(Default)]
pub(super) struct Writers(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    by_writer: HashMap<Box<str>, Instant>,
    /// When anybody last wrote who isn't told apart.
    others: Option<Instant>,
}

impl Writers {
    /// A write of this writer had ended at `at`.
    pub(super) fn wrote(&self, writer: &str, at: Instant) {
        let mut latest = self.0.lock();
        if let Some(last) = latest.by_writer.get_mut(writer) {
            *last = at;
        } else if latest.by_writer.len() < WRITERS {
            latest.by_writer.insert(writer.into(), at);
        } else {
            latest.others = Some(at);
        }
    }

    /// When this writer last wrote, or may have; `None` if the replicas have it.
    pub(super) fn last_write(&self, writer: &str) -> Option<Instant> {
        let latest = self.0.lock();
        latest.by_writer.get(writer).copied().max(latest.others)
    }

    /// Forgets writes that every replica in rotation has, now or when it comes into it.
    pub(super) fn forget_until(&self, covered: Instant) {
        let mut latest = self.0.lock();
        latest.by_writer.retain(|_, at| *at > covered);
        latest.others = latest.others.filter(|at| *at > covered);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_are_remembered_until_the_replicas_have_them() {
        let writers = Writers::default();
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        writers.wrote("ann", began);
        writers.wrote("bob", later);
        writers.forget_until(began);
        assert_eq!(writers.last_write("ann"), None);
        assert_eq!(writers.last_write("bob"), Some(later));
        for number in 0..WRITERS {
            writers.wrote(&number.to_string(), later);
        }
        // The last of them wasn't told apart: now it's everybody.
        assert_eq!(writers.last_write("ann"), Some(later));
        writers.forget_until(later);
        assert_eq!(writers.last_write("bob"), None);
    }
}
