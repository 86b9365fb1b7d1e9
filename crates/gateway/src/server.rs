//! Accepting TCP connections.
//!
//! The head of the first request is read here. A WebSocket handshake for a gateway is answered at once, without an
//! HTTP server in between, which keeps neither its buffers nor the request. Everything else goes to hyper, with the
//! bytes that were read.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header::HeaderName};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tungstenite::handshake::server::create_response;

use crate::{
    config::Config,
    gateway::Gateway,
    http::{PeerAddress, Refused},
    query::{Query, TransportName},
    stream::Prefixed,
    upgrade,
};

/// A larger head is left to hyper.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// What hyper keeps of one connection, head included; its own default is 400 KB.
const MAX_HTTP_BUFFER: usize = 64 * 1024;

/// What a client is told before its request is read.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
    connection: close\r\n\r\n";
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves `gateways`, each under its path, and everything else by `service`, until `stop` turns true; then accepts no
/// more and returns when the requests in flight have been answered. Connections of the gateways go on:
/// [`Gateway::drain`] ends them. The gateways' own paths reach `service` too, for polling, and have to be given to
/// [`Gateway::http`].
///
/// # Errors
/// Never for a single connection; only if the listener itself is broken.
pub async fn serve<S, B>(
    listener: TcpListener,
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
    // Every gateway's bound holds for all of the listener: who asks for what isn't known yet.
    let bound = |of: fn(&Config) -> usize| gateways.iter().map(|g| of(g.config())).max();
    let accepts = bound(|config| config.max_accepts_per_second as usize);
    let mut pace = Pace::new(accepts.unwrap_or(usize::MAX));
    let connections = bound(|config| config.max_http_connections).unwrap_or(usize::MAX);
    let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
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
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    let front = Front {
                        gateways: gateways.clone(),
                        service: service.clone(),
                        stop: stop.clone(),
                        _permit: permit,
                        _serving: serving.clone(),
                    };
                    tokio::spawn(front.run(stream, peer));
                } else {
                    refuse(&gateways, &stream, NO_ROOM);
                }
                pace.wait().await;
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

/// Ends when told to stop, or when nobody is left who could tell.
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

/// Writes `response` as far as the socket takes it at once; the connection closes anyway.
fn refuse(gateways: &[Gateway], stream: &TcpStream, response: &[u8]) {
    if let Some(gateway) = gateways.first() {
        gateway.0.stats().connection_refused();
    }
    // Not by way of tokio, which doesn't know yet that a new socket can be written.
    drop(SockRef::from(stream).send(response));
}

/// A token bucket that holds a tenth of a second.
struct Pace {
    per_tick: usize,
    left: usize,
    filled: tokio::time::Instant,
}

impl Pace {
    const TICK: Duration = Duration::from_millis(100);

    fn new(per_second: usize) -> Self {
        let per_tick = (per_second / 10).max(1);
        Self {
            per_tick,
            left: per_tick,
            filled: tokio::time::Instant::now(),
        }
    }

    async fn wait(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            tokio::time::sleep_until(self.filled + Self::TICK).await;
            self.filled = tokio::time::Instant::now();
            self.left = self.per_tick;
        }
    }
}

/// A TCP connection that isn't a WebSocket (yet).
struct Front<S> {
    gateways: Arc<[Gateway]>,
    service: S,
    stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
    _serving: mpsc::Sender<Infallible>,
}

/// What the head of a request turned out to be.
enum Head {
    Incomplete,
    /// A WebSocket handshake for the gateway of this index, of this many bytes.
    WebSocket(usize, usize, Box<Request<()>>),
    /// Anything else, malformed ones included.
    Other,
}

impl<S, B> Front<S>
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
        let timeout = self
            .gateways
            .iter()
            .map(|g| g.config().handshake_timeout)
            .max()
            .unwrap_or(Duration::from_secs(10));
        let mut received = Vec::new();
        let reading = read_head(&self.gateways, &stream, &mut received);
        let head = tokio::select! {
            head = tokio::time::timeout(timeout, reading) => head,
            // Nothing was asked yet.
            () = stopped(&mut self.stop) => return,
        };
        match head {
            Ok(Ok(Head::WebSocket(gateway, length, request))) => {
                let gateway = &self.gateways[gateway];
                upgrade_first(gateway, &request, stream, peer, &received[length..]);
            }
            Ok(Ok(_)) => self.http(stream, peer, received.into(), timeout).await,
            Ok(Err(_)) => {}
            Err(_) => refuse(&self.gateways, &stream, TOO_SLOW),
        }
    }

    async fn http(mut self, stream: TcpStream, peer: SocketAddr, prefix: Bytes, timeout: Duration) {
        let service = self.service.clone();
        let with_peer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            service.call(request)
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_buf_size(MAX_HTTP_BUFFER)
            .serve_connection(TokioIo::new(Prefixed::new(prefix, stream)), with_peer)
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
fn upgrade_first(
    gateway: &Gateway,
    request: &Request<()>,
    stream: TcpStream,
    peer: SocketAddr,
    received: &[u8],
) {
    let accepted = Query::parse(request.uri().query().unwrap_or_default())
        .and_then(|query| match query.transport {
            TransportName::WebSocket if gateway.config().allows(request.headers()) => Ok(query.sid),
            TransportName::WebSocket => Err(Refused::Forbidden),
            TransportName::Polling => Err(Refused::Malformed),
        })
        .and_then(|sid| {
            let response = create_response(request).map_err(|_| Refused::Malformed)?;
            Ok((response, gateway.upgrade_target(sid)?))
        });
    match accepted {
        Ok((response, target)) => {
            let head = head(&response, None);
            upgrade::start(gateway, target, stream, peer.ip(), &head, received);
        }
        Err(refused) => {
            let (parts, body) = gateway.refuse(refused).into_parts();
            let body = whole(body);
            let mut bytes = head(&Response::from_parts(parts, ()), Some(body.len()));
            bytes.extend_from_slice(&body);
            // A refused client gets as much of the reason as its socket takes.
            drop(stream.try_write(&bytes));
        }
    }
}

/// Reads until the head of the first request is there, or is none of a gateway's.
async fn read_head(
    gateways: &[Gateway],
    stream: &TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Head> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; 2048];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        }
        match parse(gateways, received) {
            Head::Incomplete if received.len() < MAX_HEAD => {}
            Head::Incomplete => return Ok(Head::Other),
            head => return Ok(head),
        }
    }
}

fn parse(gateways: &[Gateway], received: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Incomplete,
        Err(_) => return Head::Other,
    };
    let is_websocket = parsed.headers.iter().any(|h| {
        h.name.eq_ignore_ascii_case("upgrade") && h.value.eq_ignore_ascii_case(b"websocket")
    });
    let target = parsed.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let gateway = gateways.iter().position(|g| g.config().path == path);
    let (true, Some(gateway), Some(request)) = (is_websocket, gateway, owned(&parsed)) else {
        return Head::Other;
    };
    Head::WebSocket(gateway, length, Box::new(request))
}

/// The parsed head as an owned request; `None` if a part isn't valid HTTP after all.
fn owned(parsed: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        headers.append(
            HeaderName::from_bytes(header.name.as_bytes()).ok()?,
            HeaderValue::from_bytes(header.value).ok()?,
        );
    }
    let mut request = Request::builder()
        .method(parsed.method?)
        .uri(parsed.path?)
        .version(if parsed.version? == 1 {
            http::Version::HTTP_11
        } else {
            http::Version::HTTP_10
        })
        .body(())
        .ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

/// Status line and headers as bytes; with a body it is the connection's last answer.
fn head(response: &Response<()>, body: Option<usize>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if let Some(length) = body {
        bytes.extend_from_slice(
            format!("content-length: {length}\r\nconnection: close\r\n").as_bytes(),
        );
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The bytes of a body that is all there.
fn whole(body: Full<Bytes>) -> Bytes {
    body.collect()
        .now_or_never()
        .and_then(Result::ok)
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default()
}
