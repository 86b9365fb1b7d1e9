//! The namespaces that a connection is connected to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use engineioxide_core::{Sid, Str};
use smallvec::SmallVec;

use super::Connection;
use crate::{close::CloseReason, handler::Session, socket::Socket};

/// Keys are never used twice, so a stale handle can't reach a later namespace.
#[derive(Default)]
pub(crate) struct Namespaces {
    next_key: u16,
    list: SmallVec<[Namespace; 1]>,
}

struct Namespace {
    key: u16,
    name: Str,
    sid: Sid,
    session: Arc<dyn Session>,
}

impl Namespaces {
    fn get(&self, key: u16) -> Option<&Namespace> {
        self.list.iter().find(|n| n.key == key)
    }

    pub(super) fn contains(&self, key: u16) -> bool {
        self.get(key).is_some()
    }
}

impl Connection {
    pub(crate) fn find_namespace(&self, name: &str) -> Option<u16> {
        let namespaces = self.namespaces.lock();
        let found = namespaces.list.iter().find(|n| *n.name == *name)?;
        Some(found.key)
    }

    pub(crate) fn namespace_count(&self) -> usize {
        self.namespaces.lock().list.len()
    }

    /// Registers a namespace. `None` if the connection has ended meanwhile, or has used up its keys.
    pub(crate) fn add_namespace(
        self: &Arc<Self>,
        name: &str,
        session: Arc<dyn Session>,
    ) -> Option<(Socket, Sid)> {
        let mut namespaces = self.namespaces.lock();
        if self.torn_down.load(Ordering::Acquire) {
            return None;
        }
        let key = namespaces.next_key;
        namespaces.next_key = key.checked_add(1)?;
        let sid = Sid::new();
        namespaces.list.push(Namespace {
            key,
            name: if name == "/" {
                Str::from("/")
            } else {
                Str::copy_from_slice(name)
            },
            sid,
            session,
        });
        self.entered_a_namespace();
        Some((Socket::new(self.clone(), key), sid))
    }

    pub(crate) fn namespaces(&self) -> SmallVec<[(u16, Str); 2]> {
        let namespaces = self.namespaces.lock();
        namespaces
            .list
            .iter()
            .map(|n| (n.key, n.name.clone()))
            .collect()
    }

    pub(crate) fn session(&self, key: u16) -> Option<Arc<dyn Session>> {
        Some(self.namespaces.lock().get(key)?.session.clone())
    }

    pub(crate) fn namespace(&self, key: u16) -> Option<(Str, Sid)> {
        let namespaces = self.namespaces.lock();
        let found = namespaces.get(key)?;
        Some((found.name.clone(), found.sid))
    }

    /// Ends one namespace: its subscriptions, then its session, which is notified. `None` if it has ended already.
    pub(crate) fn end_namespace(self: &Arc<Self>, key: u16, reason: CloseReason) -> Option<Str> {
        let ended = {
            let mut namespaces = self.namespaces.lock();
            let index = namespaces.list.iter().position(|n| n.key == key)?;
            let ended = namespaces.list.remove(index);
            if namespaces.list.is_empty() {
                self.heartbeat
                    .left_last_namespace(self.context.clock.now_millis());
            }
            ended
        };
        let topics = self.leave_all(key);
        ended
            .session
            .disconnected(&Socket::new(self.clone(), key), &topics, reason);
        Some(ended.name)
    }

    /// Ends all namespaces of a connection that has been marked as torn down, so that none is added any more.
    pub(super) fn end_namespaces(self: &Arc<Self>, reason: CloseReason) {
        for (key, _) in self.namespaces() {
            // A panic of one session must not keep the others, nor the connection, from ending.
            let ending = AssertUnwindSafe(|| self.end_namespace(key, reason));
            if catch_unwind(ending).is_err() {
                tracing::error!("a session panicked when its namespace ended");
            }
        }
        // Joining checks the namespace: nothing is left here.
        *self.topics.lock() = None;
    }
}
