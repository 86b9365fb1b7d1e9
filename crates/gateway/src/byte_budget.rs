//! Bytes that many connections hold together: bounded in total and for each network, so that no network takes all.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, Entry};

/// Bytes are counted in whole steps. Less than one step isn't counted at all, which is where a busy connection mostly
/// stays.
const STEP: usize = 16 * 1024;

/// One network may hold one in so many bytes.
const SHARE: usize = 4;

pub(crate) struct ByteBudget {
    max: usize,
    held: AtomicUsize,
    by_network: DashMap<IpAddr, usize>,
}

impl ByteBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            held: AtomicUsize::new(0),
            by_network: DashMap::new(),
        }
    }

    /// `bytes` in whole steps.
    pub(crate) fn counted(bytes: usize) -> usize {
        bytes / STEP * STEP
    }

    /// Changes what a holder at `address` has counted. Less is always possible; false, with nothing changed, if there
    /// isn't room for more.
    pub(crate) fn change(&self, address: IpAddr, from: usize, to: usize) -> bool {
        if from == to {
            return true;
        }
        let more = to.saturating_sub(from);
        let fits = |by_network: usize| {
            by_network + more <= self.max / SHARE && self.held.load(Relaxed) + more <= self.max
        };
        match self.by_network.entry(network(address)) {
            Entry::Occupied(entry) if more > 0 && !fits(*entry.get()) => return false,
            Entry::Occupied(mut entry) => {
                let left = (*entry.get() + to).saturating_sub(from);
                if left == 0 {
                    entry.remove();
                } else {
                    *entry.get_mut() = left;
                }
            }
            Entry::Vacant(_) if more > 0 && !fits(0) => return false,
            Entry::Vacant(entry) => {
                if more > 0 {
                    entry.insert(more);
                }
            }
        }
        if more > 0 {
            self.held.fetch_add(more, Relaxed);
        } else {
            self.held.fetch_sub(from - to, Relaxed);
        }
        true
    }

    /// Bytes that are counted now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

/// The network that bounds by address apply to: whoever has one IPv6 address mostly has all 2^64 of its network.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// The bytes of one holder, returned to the budget when it is dropped.
pub(crate) struct HeldBytes {
    budget: Arc<ByteBudget>,
    address: IpAddr,
    counted: usize,
}

impl HeldBytes {
    pub(crate) fn none(budget: Arc<ByteBudget>, address: IpAddr) -> Self {
        Self {
            budget,
            address,
            counted: 0,
        }
    }

    /// Holds `bytes` from here on; false if there isn't room for so many.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let to = ByteBudget::counted(bytes);
        let changed = self.budget.change(self.address, self.counted, to);
        if changed {
            self.counted = to;
        }
        changed
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_a_share_and_all_have_the_rest() {
        let budget = ByteBudget::new(100);
        let [one, same, other] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(address);
        assert!(budget.change(one, 0, 20));
        assert!(!budget.change(same, 0, 6));
        assert!(budget.change(same, 0, 5));
        assert!(budget.change(other, 0, 25));
        for n in 0..2 {
            assert!(budget.change(IpAddr::from([10, 0, 0, n]), 0, 25));
        }
        assert!(!budget.change(IpAddr::from([10, 0, 0, 9]), 0, 1));
        assert!(budget.change(one, 20, 1));
        assert!(budget.change(IpAddr::from([10, 0, 0, 9]), 0, 19));
        assert_eq!(budget.held(), 100);
        budget.change(one, 1, 0);
        budget.change(same, 5, 0);
        assert_eq!((budget.held(), budget.by_network.len()), (94, 4));
    }

    #[test]
    fn what_a_holder_has_is_given_back() {
        let budget = Arc::new(ByteBudget::new(8 * STEP));
        let mut held = HeldBytes::none(budget.clone(), address("192.0.2.1"));
        assert!(held.set(STEP - 1));
        assert_eq!(budget.held(), 0);
        assert!(held.set(2 * STEP + 1));
        assert!(!held.set(3 * STEP));
        assert_eq!(budget.held(), 2 * STEP);
        drop(held);
        assert_eq!((budget.held(), budget.by_network.len()), (0, 0));
    }
}
