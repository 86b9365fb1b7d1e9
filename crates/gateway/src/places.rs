//! Room for TCP connections that aren't a WebSocket, or not yet.
//!
//! What must stay true: whoever fills it, from one network or from many, WebSockets and health checks get in. A network
//! has a share of all places, and some places are spare: who gets one is served only what can't wait, once.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, Entry};

use crate::byte_budget::network;

/// Of every so many places there is one more to spare.
const SPARE: usize = 8;

#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    max: usize,
    max_of_network: usize,
    taken: AtomicUsize,
    by_network: DashMap<IpAddr, usize>,
}

/// The place of one connection; free again when it is dropped.
pub(crate) struct Place {
    places: Places,
    network: Option<IpAddr>,
    spare: bool,
}

impl Places {
    pub(crate) fn new(max: usize, max_of_network: usize) -> Self {
        Self(Arc::new(Inner {
            max,
            max_of_network,
            taken: AtomicUsize::new(0),
            by_network: DashMap::new(),
        }))
    }

    /// A place for a connection from `address`, if that counts; `None` if there is none.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Option<Place> {
        let Inner {
            max,
            max_of_network,
            taken,
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
        // Its drop gives back what is taken.
        let mut place = Place {
            places: self.clone(),
            network,
            spare: false,
        };
        let before = taken.fetch_add(1, Relaxed);
        place.spare = before >= *max;
        (before < max + (max / SPARE).max(1)).then_some(place)
    }
}

impl Place {
    /// Whether it is one of those to spare.
    pub(crate) fn is_spare(&self) -> bool {
        self.spare
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.places.0;
        inner.taken.fetch_sub(1, Relaxed);
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
    fn a_network_has_its_share_and_some_places_are_spare() {
        let places = Places::new(8, 6);
        let from = |n| Some(IpAddr::from([10, 0, 0, n]));
        let mut taken: Vec<_> = (0..6).map(|_| places.take(from(1)).unwrap()).collect();
        assert!(places.take(from(1)).is_none());
        taken.extend((0..2).map(|_| places.take(None).unwrap()));
        assert!(taken.iter().all(|place| !place.is_spare()));
        let spare = places.take(from(2)).unwrap();
        assert!(spare.is_spare());
        assert!(places.take(from(3)).is_none());
        taken.clear();
        assert!(!places.take(from(1)).unwrap().is_spare());
        drop(spare);
        assert_eq!(places.0.taken.load(Relaxed), 0);
        assert!(places.0.by_network.is_empty());
    }
}
