//! Clients that keep copies are told what was invalidated, in the namespace `/notifications`.
//!
//! What must stay true: however much is invalidated, clients get a bounded number of events a second: beyond that, a kind stands for
//! all its keys.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Kind;

/// How long keys are gathered.
const GATHERED: Duration = Duration::from_millis(250);

/// Keys of one kind that are named; with more, only the kind is.
const NAMED: usize = 20;

#[derive(Default)]
pub(super) struct Announcements {
    /// `None`: all of the kind.
    waiting: Mutex<HashMap<Kind, Option<BTreeSet<String>>>>,
    new: Notify,
}

impl Announcements {
    pub(super) fn add(&self, kind: Kind, key: &str) {
        let mut waiting = self.waiting.lock();
        let keys = waiting.entry(kind).or_insert_with(|| Some(BTreeSet::new()));
        if let Some(named) = keys {
            named.insert(key.to_owned());
            if named.len() > NAMED {
                *keys = None;
            }
        }
        drop(waiting);
        self.new.notify_one();
    }

    /// All of every kind: what was invalidated isn't known.
    pub(super) fn add_all(&self) {
        let mut waiting = self.waiting.lock();
        waiting.extend(Kind::ALL.map(|kind| (kind, None)));
        drop(waiting);
        self.new.notify_one();
    }

    /// The keys to announce, a while after the first one came.
    pub(super) async fn next(&self) -> Vec<String> {
        self.new.notified().await;
        tokio::time::sleep(GATHERED).await;
        self.take()
    }

    fn take(&self) -> Vec<String> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let keys = waiting.into_iter().flat_map(|(kind, keys)| match keys {
            Some(keys) => keys.into_iter().collect(),
            None => vec![kind.name().to_owned()],
        });
        keys.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_keys_are_their_kind() {
        let announcements = Announcements::default();
        for id in 0..NAMED {
            announcements.add(Kind::User, &Kind::User.key(&id.to_string()));
            announcements.add(Kind::User, &Kind::User.key("0"));
        }
        assert_eq!(announcements.take().len(), NAMED);
        assert!(announcements.take().is_empty());
        for id in 0..=NAMED {
            announcements.add(Kind::User, &Kind::User.key(&id.to_string()));
        }
        announcements.add(Kind::User, "user:more");
        assert_eq!(announcements.take(), ["user"]);
        announcements.add_all();
        announcements.add(Kind::User, "user:more");
        assert_eq!(announcements.take(), ["user"]);
    }
}
