//! The polling transport: a GET waits for what is queued, a POST brings packets.
//!
//! One of each may be under way; a second one ends the connection, as does one that the client breaks off.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use engineioxide_core::{PacketParseError, ProtocolVersion, payload};
use futures_util::StreamExt;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use crate::{
    answer::{answer, text},
    close::CloseReason,
    connection::{CloseOnPanic, Connection},
    handshake_error::HandshakeError,
    outbox::Transport,
    request_body::{self, BodyError},
};

/// Engine.IO packets that only say something about the transport, and what separates packets.
const NOOP: &str = "6";
const CLOSE: &str = "1";
const SEPARATOR: char = '\u{1e}';

/// How long a poll waits for something to send while its client goes over to a WebSocket. As with the official server:
/// long enough that who polls on meanwhile does no harm, and short enough that nobody waits for the WebSocket.
const PROBED_POLL: Duration = Duration::from_millis(100);

/// Guards a request in progress. If it is dropped before it is disarmed, the client went away in the middle of the request.
struct RequestGuard<'a>(Option<&'a Arc<Connection>>);

impl RequestGuard<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.close(CloseReason::TransportError);
        }
    }
}

/// The one POST of a connection.
struct Posting(Arc<Connection>);

impl Posting {
    fn begin(connection: &Arc<Connection>) -> Option<Self> {
        let taken = connection.posting.swap(true, Ordering::AcqRel);
        (!taken).then(|| Self(connection.clone()))
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.posting.store(false, Ordering::Release);
    }
}

/// How often a POST that waits checks whether it may go on. Few wait, and none for long; a waker would cost every
/// connection some bytes.
const RECHECK: Duration = Duration::from_millis(20);

/// Why a POST isn't taken.
enum PostError {
    Body(BodyError),
    /// Not what a payload looks like.
    Malformed,
}

impl Connection {
    /// Answers a GET: with what is queued, or with what comes next.
    pub(crate) async fn poll(self: Arc<Self>) -> Response<Full<Bytes>> {
        let max = self.context().config.max_payload;
        let mut released = false;
        loop {
            let waiting = {
                let mut outbox = self.outbox();
                if outbox.has_poll() {
                    drop(outbox);
                    self.close(CloseReason::Protocol);
                    return HandshakeError::Malformed.response();
                }
                let payload = outbox.take_payload(max);
                self.settle(&mut outbox);
                // What is queued may need more polls than this one.
                if let Some(reason) = self.closed().filter(|_| outbox.is_empty()) {
                    drop(outbox);
                    self.leave_registry();
                    return last_answer(payload, reason);
                }
                if !payload.is_empty() {
                    return text(payload);
                }
                // The client has gone over, or waits for this poll to end before it does.
                if released || outbox.transport() == Transport::WebSocket {
                    return text(NOOP);
                }
                outbox.wait_poll()
            };
            let guard = RequestGuard(Some(&self));
            released = if self.probed.load(Ordering::Acquire) {
                // It may not know yet that its WebSocket works, or never learn it, and polls on.
                let ended = tokio::time::timeout(PROBED_POLL, waiting).await;
                if ended.is_err() {
                    self.outbox().wake_poll();
                }
                ended.map_or(true, |ended| ended.is_ok())
            } else {
                waiting.await.is_ok() || self.probed.load(Ordering::Acquire)
            };
            guard.disarm();
        }
    }

    /// Ends the poll that waits, or comes next, without a packet if there is none. The client polls again.
    pub(crate) fn release_poll(&self) {
        self.outbox().release_poll();
    }

    /// Handles the packets of a POST, in order, before it is answered.
    pub(crate) async fn post<B>(self: Arc<Self>, body: B) -> Response<Full<Bytes>>
    where
        B: Body + Unpin,
    {
        let Some(posting) = Posting::begin(&self) else {
            self.close(CloseReason::Protocol);
            return HandshakeError::Malformed.response();
        };
        let config = &self.context().config;
        let guard = RequestGuard(Some(&self));
        let mut held = self.holds_body();
        let reading = request_body::read(body, self.max_message(), |bytes| held.set(bytes));
        let read = tokio::time::timeout(config.silence(), reading).await;
        guard.disarm();
        let body = match read.unwrap_or(Err(BodyError::TooSlow)) {
            Ok(body) => body,
            Err(error) => return self.refuse_post(PostError::Body(error)),
        };
        let connection = self.clone();
        // On its own, so that a client that gives up waiting doesn't cut an event in half.
        let handling = tokio::spawn(async move {
            let _posting = posting;
            let _held = held;
            let _guard = CloseOnPanic(&connection);
            connection.handle(body).await
        });
        match handling.await {
            Ok(Ok(())) => text("ok"),
            Ok(Err(error)) => self.refuse_post(error),
            Err(_) => answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                Bytes::new(),
            ),
        }
    }

    async fn handle(self: &Arc<Self>, body: Bytes) -> Result<(), PostError> {
        // A pong would be the next POST.
        self.heartbeat.set_busy(true, 0);
        let handled = self.handle_packets(body).await;
        self.heartbeat
            .set_busy(false, self.context().clock.now_millis());
        handled
    }

    async fn handle_packets(self: &Arc<Self>, body: Bytes) -> Result<(), PostError> {
        let max = self.context().config.max_payload as u64;
        let packets = payload::decoder(Full::new(body), None, ProtocolVersion::V4, max);
        let mut packets = std::pin::pin!(packets);
        while let Some(packet) = packets.next().await {
            let packet = packet.map_err(|e| match e {
                PacketParseError::PayloadTooLarge { .. } => PostError::Body(BodyError::TooLarge),
                _ => PostError::Malformed,
            })?;
            self.make_room().await;
            if let Some(handling) = self.receive(packet) {
                handling.await;
            }
            match self.closed() {
                None => {}
                Some(CloseReason::Client) => return Ok(()),
                // The next poll says so.
                Some(reason) if reason.is_reported_to_polls() => return Ok(()),
                Some(CloseReason::TooLarge) => return Err(PostError::Body(BodyError::TooLarge)),
                Some(_) => return Err(PostError::Malformed),
            }
        }
        Ok(())
    }

    /// Waits until there is room for more answers. A client that polls meanwhile makes some.
    async fn make_room(self: &Arc<Self>) {
        let waiting = async {
            while self.closed().is_none() && (self.owes_much() || self.waits_for_polls()) {
                tokio::time::sleep(RECHECK).await;
            }
        };
        let patience = self.context().config.silence();
        if tokio::time::timeout(patience, waiting).await.is_err() {
            self.close(CloseReason::SlowConsumer);
        }
    }

    fn refuse_post(self: &Arc<Self>, error: PostError) -> Response<Full<Bytes>> {
        let (reason, status, why) = match error {
            PostError::Malformed => {
                self.close(CloseReason::Protocol);
                return HandshakeError::Malformed.response();
            }
            PostError::Body(BodyError::CutOff) => {
                self.close(CloseReason::TransportError);
                return HandshakeError::Malformed.response();
            }
            PostError::Body(BodyError::NoRoom) => {
                self.context().stats().input_refused();
                self.close(CloseReason::TryLater);
                return HandshakeError::NoRoom.response();
            }
            PostError::Body(BodyError::TooLarge) => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                (CloseReason::TooLarge, status, "message too large")
            }
            PostError::Body(BodyError::TooSlow) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                (CloseReason::PingTimeout, status, "request timeout")
            }
        };
        self.close(reason);
        answer(status, "text/plain", Bytes::from_static(why.as_bytes()))
    }
}

/// The answer to the last poll of a connection, with what was left to say.
fn last_answer(mut payload: String, reason: CloseReason) -> Response<Full<Bytes>> {
    let packet = match reason {
        // It closed by its POST, so it knows.
        CloseReason::Client => NOOP,
        CloseReason::Server | CloseReason::Protocol => CLOSE,
        // After a close packet the official Python client doesn't come back, and it should: its next poll fails.
        _ if !payload.is_empty() => return text(payload),
        _ => return HandshakeError::UnknownSession.response(),
    };
    if !payload.is_empty() {
        payload.push(SEPARATOR);
    }
    payload.push_str(packet);
    text(payload)
}
