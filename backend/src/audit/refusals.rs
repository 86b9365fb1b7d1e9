//! How many refusals and failures of one actor are recorded: who is refused a thousand times a second shall not fill the log.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protocol::UserId;

use crate::limits::network::Network;

/// Refusals of one action by one actor that are recorded in a minute.
const RECORDED: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Actors that are remembered; beyond that all begin again.
const ACTORS_MAX: usize = 16_384;

/// Counts refusals by action and actor.
#[derive(Debug)]
pub struct RefusalCounts(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    began: Instant,
    by_actor: HashMap<(&'static str, RefusedActor), u32>,
}

/// Whose refusals are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RefusedActor {
    /// A user.
    User(UserId),
    /// Whoever is behind an address, where nobody is known.
    Network(Network),
    /// Nothing is known.
    Unknown,
}

impl RefusalCounts {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Counts {
            began: now,
            by_actor: HashMap::new(),
        }))
    }

    /// Counts a refusal; true if it is to be recorded.
    pub fn admit(&self, action: &'static str, actor: RefusedActor, now: Instant) -> bool {
        let mut counts = self.0.lock();
        if now.saturating_duration_since(counts.began) >= WINDOW
            || counts.by_actor.len() >= ACTORS_MAX
        {
            counts.by_actor.clear();
            counts.began = now;
        }
        let count = counts.by_actor.entry((action, actor)).or_default();
        *count = count.saturating_add(1);
        *count <= RECORDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_actor_fills_no_log() {
        let start = Instant::now();
        let counts = RefusalCounts::new(start);
        let user = |id: &str| RefusedActor::User(UserId::trusted(id));
        let admit = |actor: &str, now| counts.admit("room.join", user(actor), now);
        for _ in 0..RECORDED {
            assert!(admit("ada", start));
        }
        assert!(!admit("ada", start) && admit("ben", start));
        assert!(counts.admit("room.leave", user("ada"), start));
        assert!(admit("ada", start + WINDOW));
        for number in 0..2 * ACTORS_MAX {
            admit(&number.to_string(), start + WINDOW);
        }
        assert!(counts.0.lock().by_actor.len() <= ACTORS_MAX);
    }
}
