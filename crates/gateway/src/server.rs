//! Accepting TCP connections.
//!
//! The head of the first request is read here. A WebSocket handshake for a gateway is answered at once, without an
//! HTTP server in between, which keeps neither its buffers nor the request. Everything else goes to hyper, with the
//! bytes that were read.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header::CONNECTION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    clock::Clock,
    gateway::{Gateway, http::PeerAddress},
    handshake,
    handshake_error::HandshakeError,
    head::{self, Head},
    http_permits::HttpPermit,
    listener_limits::ListenerLimits,
    peers,
    query::{Query, TransportName},
    rate_limiter::{RateLimit, RateLimiter},
    request_body::BodyReader,
    stream::Prefixed,
    trusted_proxies::TrustedProxies,
    upgrade::{self, Target},
};

/// What hyper keeps of one connection, head included; its own default is 400 KB.
const MAX_HTTP_BUFFER: usize = 64 * 1024;

/// How long a connection with a spare permit may take for its first request. Whoever takes those too has to hurry.
const SPARE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers to requests that aren't read.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
    connection: close\r\n\r\n";
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves `gateways`, each under its path, and everything else by `service`, until `stop` turns true; then accepts no
/// more and returns when the requests in flight have been answered. Connections of the gateways go on:
/// [`Gateway::drain`] ends them. The gateways' own paths reach `service` too, for polling, and have to be given to
/// [`Gateway::http`]. Every gateway's bounds and trusted proxies hold for all of the listener.
///
/// # Errors
/// Never for a single connection; only if the listener itself is broken.
pub async fn serve<S, B>(
    listener: TcpListener,
    gateways: Vec<Gateway>,
    service: S,
    stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let proxies = gateways
        .iter()
        .flat_map(|gateway| &gateway.config().trusted_proxies);
    let kind = ListenerKind::Public(TrustedProxies::new(proxies.copied()));
    accept(listener, Arc::new(kind), gateways, service, stop).await
}

/// Who connects to a listener, which decides how the client of a request is known.
pub(crate) enum ListenerKind {
    /// Clients, some through proxies that are trusted to say who they are.
    Public(TrustedProxies),
    /// Other instances, who sign what they send.
    Internal,
}

pub(crate) async fn accept<S, B>(
    listener: TcpListener,
    kind: Arc<ListenerKind>,
    gateways: Vec<Gateway>,
    service: S,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let gateways: Arc<[Gateway]> = gateways.into();
    // Every request's task holds a sender; nothing is ever sent.
    let (serving, mut served) = mpsc::channel::<Infallible>(1);
    let internal = matches!(*kind, ListenerKind::Internal);
    let configs = gateways.iter().map(Gateway::config);
    let limits = Arc::new(ListenerLimits::new(internal, configs));
    for gateway in gateways.iter() {
        gateway.0.add_listener(&limits);
    }
    let (accepts, clock) = (RateLimiter::default(), Clock::start());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => {
                drop((listener, serving));
                let None = served.recv().await;
                return Ok(());
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(permit) = limits.permits.take(kind.network_of(peer)) {
                    let connection = HttpConnection {
                        kind: kind.clone(),
                        gateways: gateways.clone(),
                        service: service.clone(),
                        stop: stop.clone(),
                        limits: limits.clone(),
                        permit,
                        _serving: serving.clone(),
                    };
                    tokio::spawn(connection.run(stream, peer));
                } else {
                    refuse(&gateways, &stream, HandshakeError::NoRoom);
                }
                pace(&accepts, limits.accepts, clock).await;
            }
            // Of one connection that is gone already, or of a shortage (file descriptors) that passes.
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                tracing::error!(error = %e, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl ListenerKind {
    /// The address whose share a connection's permit is of. A proxy's connections are of many clients.
    fn network_of(&self, peer: SocketAddr) -> Option<IpAddr> {
        match self {
            Self::Public(proxies) if !proxies.trust(peer.ip().to_canonical()) => Some(peer.ip()),
            Self::Public(_) | Self::Internal => None,
        }
    }
}

/// Ends when `stop` turns true or its sender is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Says so as far as the socket takes it at once; the connection closes anyway.
fn refuse(gateways: &[Gateway], stream: &TcpStream, error: HandshakeError) {
    if let Some(gateway) = gateways.first() {
        gateway.0.stats().connection_refused(error);
    }
    let response = match error {
        HandshakeError::TooSlow => TOO_SLOW,
        _ => NO_ROOM,
    };
    // Not by way of tokio, which doesn't know yet that a new socket can be written.
    drop(SockRef::from(stream).send(response));
}

/// Waits until one more connection may be accepted.
async fn pace(accepts: &RateLimiter, limit: RateLimit, clock: Clock) {
    while let Err(wait) = accepts.take(limit, clock.now_micros()) {
        tokio::time::sleep(wait).await;
    }
}

/// A TCP connection that isn't a WebSocket (yet).
struct HttpConnection<S> {
    kind: Arc<ListenerKind>,
    gateways: Arc<[Gateway]>,
    service: S,
    stop: watch::Receiver<bool>,
    limits: Arc<ListenerLimits>,
    permit: HttpPermit,
    _serving: mpsc::Sender<Infallible>,
}

impl<S, B> HttpConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn run(mut self, stream: TcpStream, peer: SocketAddr) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let timeout = match *self.kind {
            ListenerKind::Public(_) if self.permit.is_spare() => {
                SPARE_TIMEOUT.min(self.limits.handshake_timeout)
            }
            ListenerKind::Public(_) => self.limits.handshake_timeout,
            // Others keep connections for their next request.
            ListenerKind::Internal => self.limits.handshake_timeout.max(peers::IDLE_SERVED),
        };
        let mut received = Vec::new();
        let reading = head::read(&self.gateways, &stream, &mut received);
        let head = tokio::select! {
            head = tokio::time::timeout(timeout, reading) => head,
            // Nothing was asked yet.
            () = stopped(&mut self.stop) => return,
        };
        match head {
            Ok(Ok(Head::WebSocket(gateway, length, request))) => {
                let gateway = &self.gateways[gateway];
                let received = &received[length..];
                upgrade_first(&self.kind, gateway, *request, stream, peer, received).await;
            }
            Ok(Ok(_)) if self.permit.is_spare() && !self.is_urgent(&received) => {
                refuse(&self.gateways, &stream, HandshakeError::NoRoom);
            }
            Ok(Ok(_)) => self.http(stream, peer, received.into(), timeout).await,
            Ok(Err(_)) => {}
            Err(_) => refuse(&self.gateways, &stream, HandshakeError::TooSlow),
        }
    }

    fn is_urgent(&self, received: &[u8]) -> bool {
        head::path(received).is_some_and(|path| self.limits.is_urgent(path))
    }

    async fn http(mut self, stream: TcpStream, peer: SocketAddr, prefix: Bytes, timeout: Duration) {
        let (service, kind) = (self.service.clone(), self.kind.clone());
        let limits = self.limits.clone();

        let with_peer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let client = match &*kind {
                ListenerKind::Public(proxies) => proxies.admit(peer, request.headers_mut()),
                ListenerKind::Internal => peer,
            };
            request.extensions_mut().insert(PeerAddress(client));
            let reader = BodyReader::new(limits.bodies.clone(), client.ip(), limits.body_times);
            request.extensions_mut().insert(reader.clone());
            let answering = service.call(request);
            async move {
                let mut response = answering.await?;
                if reader.gave_up() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let stream = Prefixed::new(prefix, stream, self.limits.write_timeout);
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_buf_size(MAX_HTTP_BUFFER)
            .keep_alive(!self.permit.is_spare())
            .serve_connection(TokioIo::new(stream), with_peer)
            .with_upgrades();
        let mut serving = std::pin::pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = stopped(&mut self.stop) => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(e) = served {
            tracing::debug!(error = %e, "HTTP connection ended");
        }
    }
}

/// A WebSocket handshake that is the first request of its connection.
async fn upgrade_first(
    kind: &ListenerKind,
    gateway: &Gateway,
    mut request: Request<()>,
    stream: TcpStream,
    peer: SocketAddr,
    received: &[u8],
) {
    let (address, tunnelled) = match kind {
        ListenerKind::Public(proxies) => (proxies.admit(peer, request.headers_mut()).ip(), false),
        ListenerKind::Internal => match gateway.verify(&request, SystemTime::now()) {
            Some(address) => (address, true),
            None => return answer(&stream, gateway.unauthorized()),
        },
    };
    let accepted = Query::parse(request.uri().query().unwrap_or_default())
        .and_then(|query| match query.transport {
            TransportName::WebSocket if gateway.config().allows(request.headers()) => Ok(query.sid),
            TransportName::WebSocket => Err(HandshakeError::Forbidden),
            TransportName::Polling => Err(HandshakeError::Malformed),
        })
        .and_then(|sid| {
            let response = handshake::accept(&request)?;
            Ok((response, sid))
        });
    let accepted = match accepted {
        Ok((response, sid)) => {
            let owner = sid
                .filter(|_| !tunnelled)
                .and_then(|sid| gateway.owner(sid));
            let target = match owner {
                Some(owner) => Box::pin(gateway.tunnel_upgrade(owner, &request, address))
                    .await
                    .map(Target::Elsewhere),
                None if tunnelled && sid.is_none() => Err(HandshakeError::UnknownSession),
                None => gateway.upgrade_target(sid, address),
            };
            target.map(|target| (response, target))
        }
        Err(refused) => Err(refused),
    };
    match accepted {
        Ok((response, target)) => {
            let head = head::write(&response, None);
            upgrade::start(gateway, target, stream, address, &head, received);
        }
        Err(refused) => answer(&stream, gateway.refuse(refused)),
    }
}

/// Answers with as much of `response` as the socket takes; the connection closes anyway.
fn answer(stream: &TcpStream, response: Response<Full<Bytes>>) {
    let (parts, body) = response.into_parts();
    let body = whole(body);
    let mut bytes = head::write(&Response::from_parts(parts, ()), Some(body.len()));
    bytes.extend_from_slice(&body);
    drop(stream.try_write(&bytes));
}

/// The bytes of a body that is all there.
fn whole(body: Full<Bytes>) -> Bytes {
    body.collect()
        .now_or_never()
        .and_then(Result::ok)
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default()
}
