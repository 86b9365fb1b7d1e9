//! Requests that name a connection of another instance, passed on to it.
//!
//! What must stay true: an owner that isn't known, can't be reached or is lost on the way is answered for as one that
//! doesn't know the session, so that the client connects anew at once; nothing waits for ever; and a request that
//! came through a tunnel never enters another one.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    request::Parts,
};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use tokio::{net::TcpStream, sync::watch, time::Instant};

use crate::{
    gateway::Gateway,
    handshake,
    handshake_error::{HandshakeError, WEBSOCKET_VERSION},
    peers::{self, Peer},
    splice::Splice,
};

/// Says that a poll may end without a packet, because the instance that passed it on shuts down.
pub(crate) const RELEASE: HeaderName = HeaderName::from_static("gateway-release");

/// Bytes of an answer. The owner has bounds of its own; this one keeps a stranger at its address from filling our memory.
const MAX_ANSWER: usize = 64 << 20;

/// How long the second side of a tunnel may go on after the first has closed, while no bytes go through. A gateway
/// that closes waits for less.
const LINGER: Duration = Duration::from_secs(5);

/// Why an owner's answer can't be had.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("it can't be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the request failed: {0}")]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error("the handshake failed: {0}")]
    Handshake(#[from] hyper::Error),
    #[error("its answer is cut off or too large")]
    Answer,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it isn't part of the fleet any more")]
    Gone,
    #[error("it took too long")]
    TooSlow,
    #[error("the request can't be passed on: {0}")]
    Request(#[from] http::Error),
}

impl Gateway {
    /// Lets the owner answer a polling request of the client at `address`.
    pub(crate) async fn tunnel_poll<B>(
        &self,
        owner: &Peer,
        request: Request<B>,
        address: IpAddr,
    ) -> Response<Full<Bytes>>
    where
        B: http_body::Body + Unpin + Send + 'static,
        B::Data: Send,
    {
        self.0.stats().poll_tunnelled();
        let (parts, body) = request.into_parts();
        // Longer than the owner lets a client be silent, for a body or while it waits.
        let patience = self.config().silence() * 2;
        let exchange = self.exchange(owner, &parts, address, passed_on(&parts.method, body));
        let answered = tokio::select! {
            answered = tokio::time::timeout(patience, exchange) => {
                answered.unwrap_or(Err(TunnelError::TooSlow))
            }
            () = gone(owner.gone()) => Err(TunnelError::Gone),
        };
        answered.unwrap_or_else(|error| {
            self.tunnel_failed(owner, &error);
            HandshakeError::UnknownSession.response()
        })
    }

    async fn exchange(
        &self,
        owner: &Peer,
        parts: &Parts,
        address: IpAddr,
        body: peers::Body,
    ) -> Result<Response<Full<Bytes>>, TunnelError> {
        let asking = async {
            let mut request = self.request_to(owner, &parts.method, &parts.uri, address)?;
            for name in [CONTENT_TYPE, CONTENT_LENGTH] {
                if let Some(value) = parts.headers.get(&name) {
                    request.headers_mut().insert(name, value.clone());
                }
            }
            answer(self.peers().ask(request.map(|()| body)).await?).await
        };
        let mut asking = pin!(asking);
        if parts.method == Method::GET {
            tokio::select! {
                answered = asking.as_mut() => return answered,
                () = drained(self.0.draining()) => {
                    let mut request = self.request_to(owner, &parts.method, &parts.uri, address)?;
                    request.headers_mut().insert(RELEASE, HeaderValue::from_static("1"));
                    // The poll itself says how that went.
                    drop(self.peers().ask(request.map(|()| empty())).await);
                }
            }
        }
        asking.await
    }

    /// A signed request for the client at `address`, with nothing else of the client's in it.
    fn request_to(
        &self,
        owner: &Peer,
        method: &Method,
        uri: &Uri,
        address: IpAddr,
    ) -> Result<Request<()>, http::Error> {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let uri = Uri::builder()
            .scheme("http")
            .authority(owner.address.to_string())
            .path_and_query(target)
            .build()?;
        let mut request = Request::builder().method(method).uri(uri).body(())?;
        let key = self.peers().key();
        let now = SystemTime::now();
        key.sign(method, target, address, now, request.headers_mut());
        Ok(request)
    }

    /// Lets the owner accept the WebSocket handshake `request` of the client at `address`.
    pub(crate) async fn tunnel_upgrade(
        &self,
        owner: Arc<Peer>,
        request: &Request<()>,
        address: IpAddr,
    ) -> Result<Tunnel, HandshakeError> {
        let permit = TunnelPermit::take(self, address).ok_or(HandshakeError::NoRoom)?;
        self.0.stats().upgrade_tunnelled();
        let handshake = self.handshake(&owner, request, address);
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(self.config().handshake_timeout, handshake) => {
                accepted.unwrap_or(Err(TunnelError::TooSlow))
            }
            () = gone(owner.gone()) => Err(TunnelError::Gone),
        };
        match accepted {
            Ok((stream, received)) => Ok(Tunnel {
                stream,
                received,
                owner,
                permit,
            }),
            // It knows better than we do; all else was checked before.
            Err(TunnelError::Status(StatusCode::BAD_REQUEST)) => {
                Err(HandshakeError::UnknownSession)
            }
            Err(error) => {
                self.tunnel_failed(&owner, &error);
                Err(HandshakeError::UnknownSession)
            }
        }
    }

    /// The connection to the owner after its 101, and what came behind that.
    async fn handshake(
        &self,
        owner: &Peer,
        request: &Request<()>,
        address: IpAddr,
    ) -> Result<(TcpStream, Vec<u8>), TunnelError> {
        let mut asked = self.request_to(owner, request.method(), request.uri(), address)?;
        let target = asked.uri().path_and_query().cloned();
        *asked.uri_mut() = target.map(Uri::from).unwrap_or_default();
        let headers = asked.headers_mut();
        headers.insert(
            HOST,
            HeaderValue::from_str(&owner.address.to_string()).map_err(http::Error::from)?,
        );
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, handshake::WEBSOCKET);
        let version = HeaderValue::from_static(WEBSOCKET_VERSION);
        headers.insert(SEC_WEBSOCKET_VERSION, version);
        // What else the client asks for, such as subprotocols, is answered here.
        if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
        let stream = TcpStream::connect(owner.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Who sends the request learns of every error.
            drop(connection.with_upgrades().await);
        });
        let response = sender
            .send_request(asked.map(|()| Empty::<Bytes>::new()))
            .await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(TunnelError::Status(response.status()));
        }
        let upgraded = hyper::upgrade::on(response).await?;
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map_err(|_| TunnelError::Answer)?;
        Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
    }

    fn tunnel_failed(&self, owner: &Peer, error: &TunnelError) {
        self.0.stats().tunnel_failed();
        if matches!(error, TunnelError::Status(StatusCode::UNAUTHORIZED)) {
            owner.report_refusal();
        }
        tracing::debug!(owner = %owner.address, %error, "tunnelled request failed");
    }
}

/// The owner's answer, if it is one of a gateway.
async fn answer(
    response: Response<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, TunnelError> {
    let (parts, body) = response.into_parts();
    if !matches!(
        parts.status,
        StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::INTERNAL_SERVER_ERROR
    ) {
        return Err(TunnelError::Status(parts.status));
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|_| TunnelError::Answer)?.to_bytes();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = parts.status;
    for name in [CONTENT_TYPE, CACHE_CONTROL] {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}

/// A request's body, passed on as it comes: the owner bounds its length and its time.
fn passed_on<B>(method: &Method, body: B) -> peers::Body
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    if method == Method::GET {
        return empty();
    }
    body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        .map_err(|_| io::ErrorKind::ConnectionAborted.into())
        .boxed_unsync()
}

fn empty() -> peers::Body {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A WebSocket handshake that the owner has accepted.
pub(crate) struct Tunnel {
    stream: TcpStream,
    received: Vec<u8>,
    owner: Arc<Peer>,
    permit: TunnelPermit,
}

impl Tunnel {
    /// Joins the client's socket to the owner's. `response` has yet to be written to the client, and `received` came
    /// behind its request.
    pub(crate) fn start(self, client: TcpStream, response: &[u8], received: &[u8]) {
        let Self {
            stream,
            received: behind,
            owner,
            permit,
        } = self;
        let to_client = [response, &behind].concat();
        let splice = Splice::new(client, stream, to_client, received.to_vec());
        tokio::spawn(run(splice, owner.gone(), permit));
    }
}

/// Moves bytes until both sides have closed, or one broke or is silent for longer than a connection may be; or until
/// there is no owner any more, or this instance shuts down.
async fn run(mut splice: Splice, owner: watch::Receiver<bool>, permit: TunnelPermit) {
    // The owner's pings and the client's answers go through here.
    let silence = permit.0.config().silence() + LINGER;
    let draining = permit.0.0.draining();
    tokio::select! {
        // However it ended, both sockets close now.
        _ = splice.join(silence, LINGER) => {}
        () = gone(owner) => {}
        () = drained(draining) => {}
    }
}

/// Counts a tunnel among the connections that may be open, until it is dropped.
struct TunnelPermit(Gateway);

impl TunnelPermit {
    fn take(gateway: &Gateway, address: IpAddr) -> Option<Self> {
        if !gateway.0.has_room(address) {
            return None;
        }
        gateway.0.tunnels.fetch_add(1, Ordering::AcqRel);
        Some(Self(gateway.clone()))
    }
}

impl Drop for TunnelPermit {
    fn drop(&mut self) {
        let Gateway(gateway) = &self.0;
        gateway.tunnels.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ends when `peer` is gone.
async fn gone(mut peer: watch::Receiver<bool>) {
    drop(peer.wait_for(|gone| *gone).await);
}

/// Ends at a moment of its own before the deadline for which a drain has begun.
async fn drained(mut draining: watch::Receiver<Option<Instant>>) {
    let deadline = match draining.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        // The gateway is gone.
        Err(_) => None,
    };
    let left = deadline.map_or(Duration::ZERO, |at| {
        at.saturating_duration_since(Instant::now())
    });
    let part: f64 = rand::rng().random();
    tokio::time::sleep(left.mul_f64(part)).await;
}
