//! Push services that don't answer, by their hosts. They are as many as browsers' users name, so they have no circuits of their own
//! ([`crate::circuits`]), but one that hangs must not keep pushes to others waiting.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Failures one after another, from which on a host is left alone.
const FAILURES: u32 = 3;

/// For how long.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// Hosts that are known at a time. What is beyond isn't left alone.
const HOSTS: usize = 1_000;

struct Trouble {
    failures: u32,
    last: Instant,
}

/// Hosts that didn't answer.
#[derive(Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Trouble>>);

impl Hosts {
    /// How long a host is still left alone.
    pub(super) fn left_alone(&self, host: &str) -> Option<Duration> {
        let hosts = self.0.lock();
        let trouble = hosts.get(host)?;
        let left = LEFT_ALONE.checked_sub(trouble.last.elapsed())?;
        (trouble.failures >= FAILURES).then_some(left)
    }

    /// A host didn't answer.
    pub(super) fn failed(&self, host: &str) {
        let mut hosts = self.0.lock();
        if hosts.len() >= HOSTS {
            hosts.retain(|_, trouble| trouble.last.elapsed() < LEFT_ALONE);
        }
        if hosts.len() < HOSTS || hosts.contains_key(host) {
            let last = Instant::now();
            let trouble = hosts
                .entry(host.to_owned())
                .or_insert(Trouble { failures: 0, last });
            trouble.failures = trouble.failures.saturating_add(1);
            trouble.last = last;
        }
    }

    /// A host has answered, whatever it was.
    pub(super) fn answered(&self, host: &str) {
        self.0.lock().remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_fails_again_and_again_is_left_alone_until_it_answers() {
        let hosts = Hosts::default();
        for _ in 1..FAILURES {
            hosts.failed("slow.example.org");
            assert_eq!(hosts.left_alone("slow.example.org"), None);
        }
        hosts.failed("slow.example.org");
        assert!(hosts.left_alone("slow.example.org").is_some());
        assert_eq!(hosts.left_alone("quick.example.org"), None);
        hosts.answered("slow.example.org");
        assert_eq!(hosts.left_alone("slow.example.org"), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let hosts = Hosts::default();
        for n in 0..HOSTS + 10 {
            hosts.failed(&format!("{n}.example.org"));
        }
        assert_eq!(hosts.0.lock().len(), HOSTS);
    }
}
