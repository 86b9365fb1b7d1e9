//! Requests of the Engine.IO path that come through an HTTP server: long polling, and upgrades that weren't the first
//! request of their TCP connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper_util::rt::TokioIo;

use crate::{
    answer::text,
    connection::Connection,
    gateway::Gateway,
    handshake,
    handshake_error::HandshakeError,
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
                return self.refuse(HandshakeError::Forbidden);
            }
            (Ok(_), None) => return self.refuse(HandshakeError::Malformed),
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
                self.refuse(HandshakeError::BadMethod)
            }
            (TransportName::Polling, None) if !self.0.has_room(peer.ip()) => {
                self.refuse(HandshakeError::NoRoom)
            }
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
                        HandshakeError::BadMethod.response()
                    }
                    _ => HandshakeError::UnknownSession.response(),
                }
            }
        }
    }

    /// The answer to a request that would have opened a connection.
    pub(crate) fn refuse(&self, refused: HandshakeError) -> Response<Full<Bytes>> {
        self.0.stats().connection_refused(refused);
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
            None => self.upgrade_target(sid, peer.ip()),
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
    pub(crate) fn upgrade_target(
        &self,
        sid: Option<&str>,
        address: IpAddr,
    ) -> Result<Target, HandshakeError> {
        let Some(sid) = sid else {
            return match self.0.has_room(address) {
                true => Ok(Target::New),
                false => Err(HandshakeError::NoRoom),
            };
        };
        let connection = self
            .find(sid)
            .filter(|c| c.closed().is_none())
            .ok_or(HandshakeError::UnknownSession)?;
        if connection.outbox().transport() != Transport::Polling {
            return Ok(Target::Taken);
        }
        Ok(Upgrading::begin(connection).map_or(Target::Taken, Target::Polling))
    }
}
