//! Permits for TCP connections that aren't a WebSocket, or not yet.
//!
//! What must stay true: whoever takes all permits, from one network or from many, WebSocket handshakes and health checks
//! get in. A network may take only a share of them, and some are spare: a connection with a spare one is served only
//! what can't wait, once.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, Entry};

use crate::byte_budget::network;

/// One spare permit for so many ordinary ones.
const ORDINARY_PER_SPARE: usize = 8;

#[derive(Clone)]
pub(crate) struct HttpPermits(Arc<Inner>);

struct Inner {
    max: usize,
    max_of_network: usize,
    taken: AtomicUsize,
    taken_spare: AtomicUsize,
    by_network: DashMap<IpAddr, usize>,
}

/// The permit of one connection; returned when it is dropped.
pub(crate) struct HttpPermit {
    permits: HttpPermits,
    network: Option<IpAddr>,
    spare: bool,
}

impl HttpPermits {
    pub(crate) fn new(max: usize, max_of_network: usize) -> Self {
        Self(Arc::new(Inner {
            max,
            max_of_network,
            taken: AtomicUsize::new(0),
            taken_spare: AtomicUsize::new(0),
            by_network: DashMap::new(),
        }))
    }

    /// A permit for a connection from `address`, which counts for the share of its network if given; `None` if there is
    /// none left.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Option<HttpPermit> {
        let Inner {
            max,
            max_of_network,
            taken,
            taken_spare,
            by_network,
        } = &*self.0;
        let network = address.map(network);
        if let Some(network) = network {
            let mut count = by_network.entry(network).or_default();
            if *count >= *max_of_network {
                return None;
            }
            *count += 1;
        }
        let before = taken.fetch_add(1, Relaxed);
        let spare = before >= *max;
        if spare {
            taken_spare.fetch_add(1, Relaxed);
        }
        // Dropping it returns what was taken.
        let permit = HttpPermit {
            permits: self.clone(),
            network,
            spare,
        };
        (before < max + (max / ORDINARY_PER_SPARE).max(1)).then_some(permit)
    }

    /// Ordinary and spare permits that are taken now.
    pub(crate) fn taken(&self) -> (usize, usize) {
        let spare = self.0.taken_spare.load(Relaxed);
        (self.0.taken.load(Relaxed).saturating_sub(spare), spare)
    }
}

impl HttpPermit {
    pub(crate) fn is_spare(&self) -> bool {
        self.spare
    }
}

impl Drop for HttpPermit {
    fn drop(&mut self) {
        let inner = &self.permits.0;
        inner.taken.fetch_sub(1, Relaxed);
        if self.spare {
            inner.taken_spare.fetch_sub(1, Relaxed);
        }
        if let Some(network) = self.network
            && let Entry::Occupied(mut entry) = inner.by_network.entry(network)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_some_permits_are_spare() {
        let permits = HttpPermits::new(8, 6);
        let from = |n| Some(IpAddr::from([10, 0, 0, n]));
        let mut taken: Vec<_> = (0..6).map(|_| permits.take(from(1)).unwrap()).collect();
        assert!(permits.take(from(1)).is_none());
        taken.extend((0..2).map(|_| permits.take(None).unwrap()));
        assert!(taken.iter().all(|permit| !permit.is_spare()));
        let spare = permits.take(from(2)).unwrap();
        assert!(spare.is_spare());
        assert!(permits.take(from(3)).is_none());
        assert_eq!(permits.taken(), (8, 1));
        taken.clear();
        assert_eq!(permits.taken(), (0, 1));
        assert!(!permits.take(from(1)).unwrap().is_spare());
        drop(spare);
        assert_eq!(permits.taken(), (0, 0));
        assert!(permits.0.by_network.is_empty());
    }
}
