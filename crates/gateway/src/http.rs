//! Requests of the Engine.IO path that come through an HTTP server: long polling, and upgrades that weren't the first
//! request of their TCP connection.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION},
};
use http_body::Body;
use http_body_util::Full;
use hyper_util::rt::TokioIo;

use crate::{
    connection::Connection,
    gateway::Gateway,
    handshake,
    outbox::Transport,
    peers::Peer,
    query::{Query, TransportName},
    stream::Prefixed,
    upgrade::{self, Target, Upgrading},
};

/// Where a request comes from, which [`serve`](crate::serve) puts into the request's extensions: the peer of its TCP
/// connection or, behind a trusted proxy, who that says it is, with port 0.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

/// Marks a request, in its extensions, that another instance passed on. It is answered here, whatever it names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tunnelled;

/// Why a request isn't served. All but the last are what the official server answers, `{ code, message }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownTransport,
    UnknownSession,
    BadMethod,
    Malformed,
    /// A WebSocket handshake of a version that isn't spoken.
    WebSocketVersion,
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
            Self::Malformed | Self::WebSocketVersion => r#"{"code":3,"message":"Bad request"}"#,
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
        if self == Self::WebSocketVersion {
            let version = handshake::VERSION;
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_VERSION, version);
        }
        response
    }
}

pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn text(payload: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, "text/plain; charset=UTF-8", payload.into())
}

impl Gateway {
    /// Answers a request for this gateway's path, whatever it is; one that names a connection of another instance is
    /// answered by that. The client's address is taken from [`PeerAddress`] in the extensions.
    pub async fn http<B>(&self, mut request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Debug,
    {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let peer = request.extensions().get().copied();
        let (query, PeerAddress(peer)) = match (query, peer) {
            (Err(refused), _) => return self.refuse(refused),
            (Ok(_), _) if !self.config().allows(request.headers()) => {
                return self.refuse(Refused::Forbidden);
            }
            (Ok(_), None) => return self.refuse(Refused::Malformed),
            (Ok(query), Some(peer)) => (query, peer),
        };
        let owner = match request.extensions().get::<Tunnelled>() {
            Some(_) => None,
            None => query.sid.and_then(|sid| self.owner(sid)),
        };
        match (query.transport, query.sid) {
            (TransportName::WebSocket, sid) => {
                let sid = sid.map(str::to_owned);
                self.upgrade_request(&mut request, sid.as_deref(), owner, peer)
                    .await
            }
            (TransportName::Polling, None) if request.method() != Method::GET => {
                self.refuse(Refused::BadMethod)
            }
            (TransportName::Polling, None) if !self.0.has_room() => self.refuse(Refused::NoRoom),
            (TransportName::Polling, None) => text(self.open_polling(peer.ip())),
            (TransportName::Polling, Some(sid)) => {
                if let Some(owner) = owner {
                    // Apart, or every poll that waits here would take the memory for it.
                    return Box::pin(self.tunnel_poll(&owner, request, peer.ip())).await;
                }
                let connection = self.find_polling(sid);
                match (connection, request.method()) {
                    (Some(connection), &Method::GET) => connection.poll().await,
                    (Some(connection), &Method::POST) if connection.closed().is_none() => {
                        connection.post(request.into_body()).await
                    }
                    (Some(connection), _) if connection.closed().is_none() => {
                        Refused::BadMethod.response()
                    }
                    _ => Refused::UnknownSession.response(),
                }
            }
        }
    }

    /// The answer to a request that would have opened a connection.
    pub(crate) fn refuse(&self, refused: Refused) -> Response<Full<Bytes>> {
        self.0.stats().connection_refused();
        refused.response()
    }

    /// The connection that `sid` names, if its client polls.
    pub(crate) fn find_polling(&self, sid: &str) -> Option<Arc<Connection>> {
        self.find(sid)
            .filter(|c| c.outbox().transport() != Transport::WebSocket)
    }

    /// An upgrade behind other requests of the same TCP connection, as a proxy with kept-alive connections sends it.
    async fn upgrade_request<B>(
        &self,
        request: &mut Request<B>,
        sid: Option<&str>,
        owner: Option<Arc<Peer>>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let response = match handshake::accept(request) {
            Ok(response) => response.map(|()| Full::default()),
            Err(refused) => return self.refuse(refused),
        };
        let target = match owner {
            Some(owner) => {
                // Its body can't be shared between threads while the owner is asked.
                let mut head = Request::new(());
                *head.method_mut() = request.method().clone();
                *head.uri_mut() = request.uri().clone();
                *head.headers_mut() = request.headers().clone();
                Box::pin(self.tunnel_upgrade(owner, &head, peer.ip()))
                    .await
                    .map(Target::Elsewhere)
            }
            None => self.upgrade_target(sid),
        };
        let target = match target {
            Ok(target) => target,
            Err(refused) => return self.refuse(refused),
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
            let received = &parts.read_buf;
            upgrade::start(&gateway, target, stream, peer.ip(), &[], received);
        });
        response
    }

    /// What an upgrade request with this `sid` is for, at this instance.
    pub(crate) fn upgrade_target(&self, sid: Option<&str>) -> Result<Target, Refused> {
        let Some(sid) = sid else {
            return match self.0.has_room() {
                true => Ok(Target::New),
                false => Err(Refused::NoRoom),
            };
        };
        let connection = self
            .find(sid)
            .filter(|c| c.closed().is_none())
            .ok_or(Refused::UnknownSession)?;
        if connection.outbox().transport() != Transport::Polling {
            return Ok(Target::Taken);
        }
        Ok(Upgrading::begin(connection).map_or(Target::Taken, Target::Polling))
    }
}
