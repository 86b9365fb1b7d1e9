//! A handle to one namespace of one connection.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    close::CloseReason,
    connection::{Connection, Reservation},
    frame::{EncodeError, Frame},
    hub::JoinError,
    reply::Reply,
};

/// One namespace of one connection. Cheap to clone; after the namespace ended, all it does is nothing.
///
/// Sessions get it with each call. One that keeps it must not own what the connection owns in turn (its session), or
/// neither is ever freed.
#[derive(Clone)]
pub struct Socket {
    connection: Arc<Connection>,
    key: u16,
}

/// Why a request to a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The client didn't answer in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The client is gone.
    #[error("the client is gone")]
    Closed,
    /// Too many requests to this client are unanswered.
    #[error("too many unanswered requests")]
    TooMany,
    /// The payload can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Socket {
    pub(crate) fn new(connection: Arc<Connection>, key: u16) -> Self {
        Self { connection, key }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn key(&self) -> u16 {
        self.key
    }

    /// The public id of this namespace connection, which the client knows as `socket.id`; `None` once it ended.
    pub fn id(&self) -> Option<String> {
        let (_, sid) = self.connection.namespace(self.key)?;
        Some(sid.to_string())
    }

    /// The name of the namespace; `None` once it ended.
    pub fn namespace(&self) -> Option<String> {
        let (namespace, _) = self.connection.namespace(self.key)?;
        Some(namespace.to_string())
    }

    /// Identifies this socket among all of this process, while it lives.
    pub fn token(&self) -> (usize, u16) {
        (Arc::as_ptr(&self.connection) as usize, self.key)
    }

    /// Where the connection comes from: the peer of its first request, or who a trusted proxy says that is.
    pub fn address(&self) -> IpAddr {
        self.connection.address()
    }

    /// Queues a frame, made for this socket's namespace, for this socket alone.
    pub fn send(&self, frame: &Frame) {
        if self.is_connected() {
            self.connection.send(frame);
        }
    }

    /// Sends an event and waits for the client's ack. Not to be waited for while an event of the same connection is
    /// being handled: the answer is read behind it.
    ///
    /// # Errors
    /// If the client doesn't answer within `timeout`, is gone, or too many requests to it are unanswered.
    pub async fn request<T: serde::Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &T,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let (namespace, _) = self
            .connection
            .namespace(self.key)
            .ok_or(RequestError::Closed)?;
        let mut request = self
            .connection
            .begin_request()
            .ok_or(RequestError::TooMany)?;
        let frame = Frame::request(&namespace, name, payload, request.id)?;
        self.connection.send(&frame);
        match tokio::time::timeout(timeout, &mut request.reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(RequestError::Closed),
            Err(_) => Err(RequestError::Timeout),
        }
    }

    /// Subscribes to `topic`; false if subscribed already. `tag` marks this subscriber for
    /// [`Hub::publish_variant`](crate::Hub::publish_variant).
    ///
    /// # Errors
    /// If the socket is closed, has too many subscriptions, or is about to be told that it fell behind on the topic.
    pub fn join(&self, topic: &str, tag: u64) -> Result<bool, JoinError> {
        self.connection.join(topic, self.key, tag)
    }

    /// Keeps one subscription free.
    ///
    /// # Errors
    /// If the socket is closed or has too many subscriptions.
    pub fn reserve(&self) -> Result<Reservation, JoinError> {
        self.connection.reserve(self.key)
    }

    /// Ends a subscription; false if there was none.
    pub fn leave(&self, topic: &str) -> bool {
        self.connection.leave(topic, self.key)
    }

    /// Whether this socket subscribes to `topic`.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.connection.is_subscribed(topic, self.key)
    }

    /// Whether the namespace is still connected.
    pub fn is_connected(&self) -> bool {
        self.connection.closed().is_none() && self.connection.session(self.key).is_some()
    }

    /// Ends this namespace for good with a DISCONNECT packet; the official clients don't come back by themselves.
    pub fn disconnect(&self) {
        if let Some(namespace) = self.connection.end_namespace(self.key, CloseReason::Server) {
            self.connection.send(&Frame::disconnect(&namespace));
        }
    }

    /// Closes the transport with all its namespaces; the official clients come back.
    pub fn close(&self, reason: CloseReason) {
        self.connection.close(reason);
    }
}
