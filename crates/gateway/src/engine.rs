//! Bare Engine.IO: connections without namespaces and events.

use std::sync::Arc;

use crate::{connection::Connection, frame::Frame};

/// An application on bare Engine.IO, without namespaces and events.
pub trait EngineHandler: Send + Sync + 'static {
    /// A text message, without its packet type.
    fn text(&self, socket: &EngineSocket, message: &str);
    /// A binary message.
    fn binary(&self, socket: &EngineSocket, message: &[u8]);
}

/// A connection of an [`EngineHandler`].
pub struct EngineSocket(pub(crate) Arc<Connection>);

impl EngineSocket {
    /// Sends a text message.
    pub fn send_text(&self, message: &str) {
        self.0.send(&Frame::engine_text(&format!("4{message}")));
    }
    /// Sends a binary message.
    pub fn send_binary(&self, message: &[u8]) {
        self.0.send(&Frame::engine_binary(message));
    }
}
