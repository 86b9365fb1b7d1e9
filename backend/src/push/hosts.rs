//! Push services that don't answer. They are as many as browsers' users name, so they have no circuits of their own
//! ([`crate::circuits`]), but one that hangs must not keep pushes to others waiting.
//!
//! What must stay true: an address is blamed only for what it kept waiting itself. A name that leads to another's address
//! fails there too, by its certificate, and must not keep pushes to the other from leaving.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    net::SocketAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Failures one after another, from which on a host is left alone.
const FAILURES: u32 = 3;

/// For how long.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// Hosts, and addresses, that are known at a time. What is beyond isn't left alone.
const KNOWN: usize = 1_000;

/// Push services that failed.
#[derive(Default)]
pub(super) struct Hosts {
    /// By their names, with ports.
    names: Failures<String>,
    /// By their addresses: any number of names may lead to one.
    addresses: Failures<SocketAddr>,
}

impl Hosts {
    /// How long a host is still left alone.
    pub(super) fn left_alone(&self, host: &str) -> Option<Duration> {
        self.names.left_alone(host)
    }

    /// How long an address is still left alone.
    pub(super) fn address_left_alone(&self, address: SocketAddr) -> Option<Duration> {
        self.addresses.left_alone(&address)
    }

    /// A host wasn't reached, or didn't answer. `silent` is the address that kept a push waiting until its time was over.
    pub(super) fn failed(&self, host: &str, silent: Option<SocketAddr>) {
        self.names.add(host.to_owned());
        if let Some(address) = silent {
            self.addresses.add(address);
        }
    }

    /// A host has answered, whatever it was.
    pub(super) fn answered(&self, host: &str, address: SocketAddr) {
        self.names.remove(host);
        self.addresses.remove(&address);
    }
}

/// How often each failed, one time after another.
struct Failures<K>(Mutex<HashMap<K, Failed>>);

struct Failed {
    times: u32,
    last: Instant,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Failures<K> {
    fn left_alone<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let known = self.0.lock();
        let failed = known.get(key)?;
        let left = LEFT_ALONE.checked_sub(failed.last.elapsed())?;
        (failed.times >= FAILURES).then_some(left)
    }

    fn add(&self, key: K) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN {
            known.retain(|_, failed| failed.last.elapsed() < LEFT_ALONE);
        }
        if known.len() < KNOWN || known.contains_key(&key) {
            let last = Instant::now();
            let failed = known.entry(key).or_insert(Failed { times: 0, last });
            failed.times = failed.times.saturating_add(1);
            failed.last = last;
        }
    }

    fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_fails_again_and_again_is_left_alone_until_it_answers() {
        let hosts = Hosts::default();
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        for _ in 1..FAILURES {
            hosts.failed("slow.example.org", None);
            assert_eq!(hosts.left_alone("slow.example.org"), None);
        }
        hosts.failed("slow.example.org", None);
        assert!(hosts.left_alone("slow.example.org").is_some());
        assert_eq!(hosts.left_alone("quick.example.org"), None);
        assert_eq!(hosts.address_left_alone(address), None);
        hosts.answered("slow.example.org", address);
        assert_eq!(hosts.left_alone("slow.example.org"), None);
    }

    #[test]
    fn an_address_that_hangs_is_left_alone_by_whatever_name() {
        let hosts = Hosts::default();
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        for name in 0..FAILURES {
            hosts.failed(&format!("{name}.example.org"), Some(address));
            assert_eq!(hosts.left_alone(&format!("{name}.example.org")), None);
        }
        assert!(hosts.address_left_alone(address).is_some());
        let other = SocketAddr::from(([192, 0, 2, 1], 8443));
        assert_eq!(hosts.address_left_alone(other), None);
        hosts.answered("one.example.org", address);
        assert_eq!(hosts.address_left_alone(address), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let hosts = Hosts::default();
        for n in 0..KNOWN + 10 {
            hosts.failed(&format!("{n}.example.org"), None);
        }
        assert_eq!(hosts.names.0.lock().len(), KNOWN);
    }
}
