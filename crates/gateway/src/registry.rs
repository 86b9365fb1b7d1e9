//! The connections of a gateway, by their ids, and how many each network has.

use std::{net::IpAddr, sync::Arc};

use dashmap::{DashMap, Entry};
use engineioxide_core::Sid;

use crate::{byte_budget::network, connection::Connection};

#[derive(Default)]
pub(crate) struct Registry {
    connections: DashMap<Sid, Arc<Connection>>,
    by_network: DashMap<IpAddr, u32>,
}

impl Registry {
    pub(crate) fn insert(&self, connection: Arc<Connection>) {
        *self
            .by_network
            .entry(network(connection.address()))
            .or_default() += 1;
        self.connections.insert(connection.sid(), connection);
    }

    pub(crate) fn get(&self, sid: &Sid) -> Option<Arc<Connection>> {
        self.connections.get(sid).map(|entry| entry.value().clone())
    }

    /// False if it wasn't there.
    pub(crate) fn remove(&self, sid: &Sid) -> bool {
        let Some((_, connection)) = self.connections.remove(sid) else {
            return false;
        };
        let network = network(connection.address());
        if let Entry::Occupied(mut entry) = self.by_network.entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        true
    }

    /// How many connections the network of an address has.
    pub(crate) fn of_network(&self, address: IpAddr) -> usize {
        let count = self.by_network.get(&network(address));
        count.map_or(0, |count| *count as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    pub(crate) fn for_each(&self, mut see: impl FnMut(&Arc<Connection>)) {
        for entry in &self.connections {
            see(entry.value());
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.connections
            .iter()
            .map(|entry| entry.value().clone())
            .collect()
    }
}
