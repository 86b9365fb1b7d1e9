//! What an application implements: who may connect, and what events do.

use std::{net::IpAddr, sync::Arc, time::Duration};

use engineioxide_core::Str;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    ack::Ack, close::CloseReason, event::Event, frame::Frame, reply::PayloadError, socket::Socket,
};

/// What remains to be done for an event. `None`: nothing. The connection's next event waits for the future, and no
/// future is held while there is nothing to wait for. What may complete after later events (a durable write) is
/// started and not waited for; its [`Ack`] is sent whenever it's done. When the connection ends the future is dropped
/// where it stands: what has to be completed is spawned.
pub type Handled = Option<BoxFuture<'static, ()>>;

/// Decides who may connect to which namespace.
pub trait Handler: Send + Sync + 'static {
    /// A client asks for a namespace. The session is registered before the client learns that it is connected, so an
    /// event that follows at once can't be lost. If the client has gone meanwhile the session is dropped without any
    /// of its calls: what has to be undone begins in [`Session::connected`].
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>>;

    /// The application's own number for events of this name, by which [`answered`](Self::answered) tells them apart.
    fn event_kind(&self, name: &str) -> u16 {
        let _ = name;
        0
    }

    /// An event of this kind was answered: its ack was queued, `took` after the event had been read. `outcome` is what
    /// [`Ack::set_outcome`] was told, or 0. Called for every ack, so it must neither block nor take long.
    fn answered(&self, kind: u16, outcome: u16, took: Duration) {
        let _ = (kind, outcome, took);
    }
}

/// One namespace of one connection, as the application sees it. Called for its events in the order they were sent. A
/// panic in any of its calls ends the connection, with [`CloseReason::TryLater`], and no other.
pub trait Session: Send + Sync + 'static {
    /// The client has been told that it is connected; events follow when this is done.
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        drop(socket);
        None
    }

    /// An event of the client. While answers of some bytes are outstanding none is read, so that no answer may wait for
    /// something that the same client is yet to send.
    fn event(self: Arc<Self>, socket: Socket, event: Event) -> Handled;

    /// An event without a readable name, or with one that clients reserve for themselves. The ack can say so.
    fn unreadable(&self, ack: Ack) {
        drop(ack);
    }

    /// An event beyond the connection's bounds (rate, or unanswered events). It isn't handled; the ack can say so.
    fn overloaded(&self, event: Event) {
        drop(event);
    }

    /// The connection fell behind on `topic`: its backlog was dropped and its subscription has ended. The frame is
    /// what the client gets instead.
    fn lagging(&self, topic: &str) -> Option<Frame> {
        let _ = topic;
        None
    }

    /// The namespace has ended, and its subscriptions to `topics` with it. Must not block.
    fn disconnected(&self, socket: &Socket, topics: &[Arc<str>], reason: CloseReason) {
        let _ = (socket, topics, reason);
    }
}

/// A client's request to connect to a namespace.
#[derive(Debug)]
pub struct ConnectRequest {
    /// The namespace, beginning with "/", its query removed.
    pub namespace: String,
    /// Where the connection comes from: the peer of its first request, or who a trusted proxy says that is.
    pub address: IpAddr,
    pub(crate) auth: Option<Str>,
}

impl ConnectRequest {
    /// The client's `auth` object; an empty one if it sent none.
    ///
    /// # Errors
    /// If it doesn't parse as `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        serde_json::from_str(self.auth_json().unwrap_or("{}")).map_err(PayloadError::new)
    }

    /// The `auth` object as JSON text.
    pub fn auth_json(&self) -> Option<&str> {
        self.auth.as_deref()
    }
}

/// Why a client isn't connected.
#[derive(Debug)]
pub enum Refusal {
    /// For good: CONNECT_ERROR with this message and `data`. The official clients don't try again.
    Final {
        /// `message` of the client's error.
        message: String,
        /// `data` of the client's error.
        data: Option<serde_json::Value>,
    },
    /// For now: the transport closes, and the official clients try again.
    TryLater,
}
