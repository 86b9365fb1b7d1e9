//! A connection's subscriptions, and their end by lag.
//!
//! The connection's list and the topic's members change together under the lock of the list. Every subscription ends
//! in one way that the application hears of: by its own [`leave`](Connection::leave), by lag, or with its namespace.

use std::sync::{Arc, atomic::Ordering};

use smallvec::SmallVec;

use super::{CloseOnPanic, Connection};
use crate::{
    hub::{JoinError, Membership},
    outbox::TopicId,
};

/// One of a connection's subscriptions, kept free until it is made or this is dropped: whoever is to do something that
/// ends with a subscription knows before that it won't be refused for want of room.
pub struct Reservation {
    connection: Arc<Connection>,
    socket: u16,
    used: bool,
}

impl Reservation {
    /// Subscribes, as [`Socket::join`](crate::Socket::join) does.
    ///
    /// # Errors
    /// As there, but for [`JoinError::TooMany`].
    pub fn join(mut self, topic: &str, tag: u64) -> Result<bool, JoinError> {
        let connection = self.connection.clone();
        let mut topics = connection.topics.lock();
        // Under the lock that the subscription is made under, so that nobody else takes what this gives back.
        self.used = true;
        connection.reserved.fetch_sub(1, Ordering::Relaxed);
        connection.join_in(&mut topics, topic, self.socket, tag)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            let _topics = self.connection.topics.lock();
            self.connection.reserved.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Connection {
    /// Subscribes namespace `socket` to `topic`; false if it was subscribed already.
    pub(crate) fn join(
        self: &Arc<Self>,
        topic: &str,
        socket: u16,
        tag: u64,
    ) -> Result<bool, JoinError> {
        self.join_in(&mut self.topics.lock(), topic, socket, tag)
    }

    fn join_in(
        self: &Arc<Self>,
        topics: &mut Option<Vec<Membership>>,
        topic: &str,
        socket: u16,
        tag: u64,
    ) -> Result<bool, JoinError> {
        let Some(list) = topics.as_mut() else {
            return Err(JoinError::Closed);
        };
        if let Some(found) = list
            .iter()
            .find(|m| m.socket == socket && *m.topic.name == *topic)
        {
            return if self.is_lagging(found.topic.id) {
                Err(JoinError::Lagging)
            } else {
                Ok(false)
            };
        }
        self.must_have_room(list, socket)?;
        let membership = self.context.hub.insert(topic, self, socket, tag)?;
        list.push(membership);
        Ok(true)
    }

    fn must_have_room(&self, list: &[Membership], socket: u16) -> Result<(), JoinError> {
        let reserved = usize::from(self.reserved.load(Ordering::Relaxed));
        if list.len() + reserved >= self.context.config.max_topics {
            return Err(JoinError::TooMany);
        }
        if !self.namespaces.lock().contains(socket) {
            return Err(JoinError::Closed);
        }
        Ok(())
    }

    /// Keeps one subscription free for namespace `socket`.
    pub(crate) fn reserve(self: &Arc<Self>, socket: u16) -> Result<Reservation, JoinError> {
        let topics = self.topics.lock();
        let list = topics.as_ref().ok_or(JoinError::Closed)?;
        self.must_have_room(list, socket)?;
        self.reserved.fetch_add(1, Ordering::Relaxed);
        Ok(Reservation {
            connection: self.clone(),
            socket,
            used: false,
        })
    }

    /// Ends a subscription; false if there was none.
    pub(crate) fn leave(self: &Arc<Self>, topic: &str, socket: u16) -> bool {
        let left = self.take_memberships(|m| m.socket == socket && *m.topic.name == *topic);
        let any = !left.is_empty();
        for membership in left {
            self.context.hub.remove(self, membership);
        }
        any
    }

    /// Ends all subscriptions of a namespace that has ended, and returns their topics.
    pub(super) fn leave_all(self: &Arc<Self>, socket: u16) -> SmallVec<[Arc<str>; 4]> {
        let left = self.take_memberships(|m| m.socket == socket);
        left.into_iter()
            .map(|membership| {
                let topic = membership.topic.name.clone();
                self.context.hub.remove(self, membership);
                topic
            })
            .collect()
    }

    pub(crate) fn is_subscribed(&self, topic: &str, socket: u16) -> bool {
        self.topics
            .lock()
            .iter()
            .flatten()
            .any(|m| m.socket == socket && *m.topic.name == *topic)
    }

    pub(crate) fn is_lagging(&self, topic: TopicId) -> bool {
        self.outbox.lock().is_lagging(topic)
    }

    /// Ends the subscriptions whose backlog was dropped and sends what the application says to that.
    pub(super) fn report_lag(self: &Arc<Self>) {
        // Nobody else would report it.
        let _guard = CloseOnPanic(self);
        loop {
            let Some(topic) = self.outbox.lock().first_lagging() else {
                break;
            };
            let mut sessions: SmallVec<[_; 1]> = SmallVec::new();
            let lagging = self.take_memberships(|m| {
                // A namespace that has just ended takes its own subscriptions and tells its session of them.
                let session = (m.topic.id == topic)
                    .then(|| self.session(m.socket))
                    .flatten();
                let ends = session.is_some();
                sessions.extend(session);
                ends
            });
            for (membership, session) in lagging.into_iter().zip(sessions) {
                self.context.stats().topic_lagged();
                let name = membership.topic.name.clone();
                self.context.hub.remove(self, membership);
                if let Some(frame) = session.lagging(&name) {
                    self.send(&frame);
                }
            }
            self.outbox.lock().lag_reported(topic);
        }
        // What else was queued when the lag began hasn't been announced to a flusher.
        self.context.hub.flush_later(self);
    }

    fn take_memberships(
        &self,
        mut which: impl FnMut(&Membership) -> bool,
    ) -> SmallVec<[Membership; 4]> {
        let mut topics = self.topics.lock();
        let Some(list) = topics.as_mut() else {
            return SmallVec::new();
        };
        let taken = list.extract_if(.., |m| which(m)).collect();
        if list.is_empty() {
            *list = Vec::new();
        }
        taken
    }
}
