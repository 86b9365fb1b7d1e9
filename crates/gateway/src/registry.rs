//! The connections of a gateway, by their ids.

use std::sync::Arc;

use dashmap::DashMap;
use engineioxide_core::Sid;

use crate::connection::Connection;

#[derive(Default)]
pub(crate) struct Registry(DashMap<Sid, Arc<Connection>>);

impl Registry {
    pub(crate) fn insert(&self, connection: Arc<Connection>) {
        self.0.insert(connection.sid(), connection);
    }

    pub(crate) fn get(&self, sid: &Sid) -> Option<Arc<Connection>> {
        self.0.get(sid).map(|entry| entry.value().clone())
    }

    /// False if it wasn't there.
    pub(crate) fn remove(&self, sid: &Sid) -> bool {
        self.0.remove(sid).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn for_each(&self, mut see: impl FnMut(&Arc<Connection>)) {
        for entry in &self.0 {
            see(entry.value());
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }
}
