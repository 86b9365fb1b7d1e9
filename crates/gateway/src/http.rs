//! Requests of the Engine.IO path that come through an HTTP server: long polling, and upgrades on a connection that
//! served requests before.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use engineioxide_core::{PacketParseError, ProtocolVersion};
use futures_util::StreamExt;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::Full;
use hyper_util::rt::TokioIo;

use crate::{
    close::CloseReason,
    connection::Connection,
    gateway::Gateway,
    outbox::Transport,
    query::{Query, TransportName},
    stream::Prefixed,
    upgrade::{self, Target},
};

/// The peer of a request's TCP connection, which [`serve`](crate::serve) puts into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

/// Why a request isn't served. All but the last are what the official server answers, `{ code, message }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownTransport,
    UnknownSession,
    BadMethod,
    Malformed,
    Forbidden,
    UnsupportedVersion,
    /// Too many connections, or draining: the official clients try again.
    NoRoom,
}

impl Refused {
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let body = match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSession => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::Malformed => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedVersion => r#"{"code":5,"message":"Unsupported protocol version"}"#,
            Self::NoRoom => r#"{"message":"No room for more connections now"}"#,
        };
        let status = match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut response = answer(
            status,
            "application/json",
            Bytes::from_static(body.as_bytes()),
        );
        if self == Self::NoRoom {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(payload: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, "text/plain; charset=UTF-8", payload.into())
}

impl Gateway {
    /// Answers a request for this gateway's path, whatever it is. The peer's address is taken from [`PeerAddress`] in
    /// the extensions.
    pub async fn http<B>(&self, mut request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Debug,
    {
        let query = match Query::parse(request.uri().query().unwrap_or_default()) {
            Ok(query) => query,
            Err(refused) => return refused.response(),
        };
        if !self.config().allows(request.headers()) {
            return Refused::Forbidden.response();
        }
        let Some(&PeerAddress(peer)) = request.extensions().get() else {
            return Refused::Malformed.response();
        };
        match (query.transport, query.sid) {
            (TransportName::WebSocket, sid) => {
                let sid = sid.map(str::to_owned);
                self.upgrade_request(&mut request, sid, peer)
            }
            (TransportName::Polling, None) if request.method() == Method::GET => {
                if !self.has_room() {
                    self.0.stats().connection_refused();
                    return Refused::NoRoom.response();
                }
                text(self.open_polling(peer.ip()))
            }
            (TransportName::Polling, None) => Refused::BadMethod.response(),
            (TransportName::Polling, Some(sid)) => {
                let connection = self
                    .find_alive(sid)
                    .filter(|c| c.outbox().transport() == Transport::Polling);
                let Some(connection) = connection else {
                    return Refused::UnknownSession.response();
                };
                match *request.method() {
                    Method::GET => connection.poll().await,
                    Method::POST => connection.post(request.into_body()).await,
                    _ => Refused::BadMethod.response(),
                }
            }
        }
    }

    /// An upgrade behind other requests of the same TCP connection, as a proxy with kept-alive connections sends it.
    fn upgrade_request<B>(
        &self,
        request: &mut Request<B>,
        sid: Option<String>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let Ok(response) =
            tungstenite::handshake::server::create_response_with_body(request, Full::default)
        else {
            return Refused::Malformed.response();
        };
        let target = match self.upgrade_target(sid.as_deref()) {
            Ok(target) => target,
            Err(refused) => return refused.response(),
        };
        let upgrading = hyper::upgrade::on(request);
        let gateway = self.clone();
        tokio::spawn(async move {
            let Ok(upgraded) = upgrading.await else {
                return;
            };
            // Only this crate's server hands out such a stream; another one's can't be written directly.
            let Ok(parts) = upgraded.downcast::<TokioIo<Prefixed>>() else {
                tracing::error!(
                    "an upgraded connection isn't a TCP stream of the gateway's server"
                );
                return;
            };
            let stream = parts.io.into_inner().into_inner();
            let mut received = parts.read_buf.to_vec();
            upgrade::start(&gateway, target, stream, peer.ip(), &[], &mut received);
        });
        response
    }

    /// What an upgrade request with this `sid` is for.
    pub(crate) fn upgrade_target(&self, sid: Option<&str>) -> Result<Target, Refused> {
        let Some(sid) = sid else {
            if self.has_room() {
                return Ok(Target::New);
            }
            self.0.stats().connection_refused();
            return Err(Refused::NoRoom);
        };
        let connection = self.find_alive(sid).ok_or(Refused::UnknownSession)?;
        let polling = connection.outbox().transport() == Transport::Polling;
        if polling && !connection.upgrading.swap(true, Ordering::AcqRel) {
            Ok(Target::Polling(connection))
        } else {
            Ok(Target::Taken)
        }
    }
}

/// A waiting poll. If its request is dropped before it is answered, the client went away in the middle of it.
struct Waiting<'a>(Option<&'a Arc<Connection>>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.close(CloseReason::TransportError);
        }
    }
}

impl Connection {
    /// Answers a GET: with what is queued, or with what comes next.
    async fn poll(self: Arc<Self>) -> Response<Full<Bytes>> {
        let max = self.gateway().config.max_payload;
        loop {
            let waiting = {
                let mut outbox = self.outbox();
                if outbox.has_poll() {
                    drop(outbox);
                    self.close(CloseReason::Protocol);
                    return Refused::Malformed.response();
                }
                let payload = outbox.take_payload(max);
                if !payload.is_empty() {
                    return text(payload);
                }
                match (self.closed(), outbox.transport()) {
                    // The client closed by its POST: nothing more to say.
                    (Some(CloseReason::Client), _) => return text("6"),
                    (Some(_), _) | (None, Transport::Closed) => return text("1"),
                    (None, Transport::WebSocket) => return text("6"),
                    (None, Transport::Polling) => {}
                }
                if self.upgrading.load(Ordering::Acquire) {
                    // The client waits for this poll to end before it goes over.
                    return text("6");
                }
                outbox.wait_poll()
            };
            let mut guard = Waiting(Some(&self));
            // Ends by the sender being dropped; there is no value.
            drop(waiting.await);
            guard.0 = None;
        }
    }

    /// Handles the packets of a POST, in order, before it is answered.
    async fn post<B>(self: Arc<Self>, body: B) -> Response<Full<Bytes>>
    where
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Debug,
    {
        let max = self.gateway().config.max_payload as u64;
        if body.size_hint().lower() > max {
            self.close(CloseReason::TooLarge);
            return too_large();
        }
        if self.posting.swap(true, Ordering::AcqRel) {
            self.close(CloseReason::Protocol);
            return Refused::Malformed.response();
        }
        let connection = self.clone();
        // On its own, so that a client that gives up waiting doesn't cut an event in half.
        let handling = tokio::spawn(async move {
            let handled = connection.handle_post(body, max).await;
            connection.posting.store(false, Ordering::Release);
            handled
        });
        match handling.await {
            Ok(Ok(())) => text("ok"),
            Ok(Err(PacketParseError::PayloadTooLarge { .. })) => {
                self.close(CloseReason::TooLarge);
                too_large()
            }
            Ok(Err(_)) => {
                self.close(CloseReason::Protocol);
                Refused::Malformed.response()
            }
            Err(_) => {
                self.close(CloseReason::TryLater);
                answer(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain",
                    Bytes::new(),
                )
            }
        }
    }

    async fn handle_post<B>(self: &Arc<Self>, body: B, max: u64) -> Result<(), PacketParseError>
    where
        B: Body + Unpin,
        B::Error: std::fmt::Debug,
    {
        let packets = engineioxide_core::payload::decoder(body, None, ProtocolVersion::V4, max);
        let mut packets = std::pin::pin!(packets);
        while let Some(packet) = packets.next().await {
            if let Some(handling) = self.receive(packet?) {
                handling.await;
            }
            if let Some(reason) = self.closed() {
                return if reason == CloseReason::Client {
                    Ok(())
                } else {
                    Err(PacketParseError::InvalidPacketPayload)
                };
            }
        }
        Ok(())
    }
}

fn too_large() -> Response<Full<Bytes>> {
    answer(
        StatusCode::PAYLOAD_TOO_LARGE,
        "text/plain",
        Bytes::from_static(b"message too large"),
    )
}
