//! The answer to one event of a client.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    context::Endpoint,
    frame::{EncodeError, Frame},
    socket::Socket,
};

/// Bytes that an answer has beside what it repeats of its event.
const ANSWER: usize = 128;

/// The answer to one event; sending nothing is possible too. While it exists the event counts as in flight.
pub struct Ack {
    socket: Socket,
    id: Option<i64>,
    /// About how many bytes the answer will take.
    size: usize,
    /// When the event was read, in microseconds since the gateway's start.
    read_at: u64,
    /// The application's numbers for the event and for how it went.
    kind: u16,
    outcome: u16,
}

impl Ack {
    /// The means to answer an event of so many bytes. Answers are about as large as what they answer; one that is
    /// larger by much is waited for before the next event is looked at.
    pub(crate) fn new(socket: Socket, id: Option<i64>, event: usize, read_at: u64) -> Self {
        let size = event + ANSWER;
        socket.connection().event_begins(size);
        Self {
            socket,
            id,
            size,
            read_at,
            kind: 0,
            outcome: 0,
        }
    }

    /// Of an event of this name.
    pub(crate) fn of(mut self, name: &str) -> Self {
        if self.is_wanted()
            && let Endpoint::SocketIo(handler) = &self.socket.connection().context().endpoint
        {
            self.kind = handler.event_kind(name);
        }
        self
    }

    /// Says how the event went, by a number of the application's own, for [`Handler::answered`](crate::Handler::answered).
    pub fn set_outcome(&mut self, outcome: u16) {
        self.outcome = outcome;
    }

    /// Whether the client waits for an answer.
    pub fn is_wanted(&self) -> bool {
        self.id.is_some()
    }

    /// Answers with one argument. Nothing happens if the client wants no answer or is gone.
    ///
    /// # Errors
    /// If `payload` doesn't serialise.
    pub fn send<T: serde::Serialize + ?Sized>(self, payload: &T) -> Result<(), EncodeError> {
        if self.id.is_none() {
            return Ok(());
        }
        let json = serde_json::to_string(payload).map_err(EncodeError::from)?;
        self.send_json(json, Vec::new());
        Ok(())
    }

    /// Answers with arguments that are JSON already, separated by commas; placeholders refer to `attachments`.
    pub fn send_json(self, arguments: String, attachments: Vec<Bytes>) {
        let Some(id) = self.id else { return };
        let connection = self.socket.connection();
        if let Some((namespace, _)) = connection.namespace(self.socket.key()) {
            connection.send(&Frame::ack(&namespace, id, arguments, attachments));
            let context = connection.context();
            if let Endpoint::SocketIo(handler) = &context.endpoint {
                let took = context.clock.now_micros().saturating_sub(self.read_at);
                handler.answered(self.kind, self.outcome, Duration::from_micros(took));
            }
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.socket.connection().event_ends(self.size);
    }
}
