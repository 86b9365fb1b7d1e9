//! The listener for other instances, which pass on requests that name a connection of this one.
//!
//! What must stay true: nothing is looked at, and nothing but 401 is said, before the signature is checked; and whatever
//! comes this way is answered here.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch};

use super::{
    http::{PeerAddress, Tunnelled},
    tunnel::RELEASE,
};
use crate::{
    answer::text,
    gateway::Gateway,
    handshake_error::HandshakeError,
    query::Query,
    server::{self, ListenerKind},
};

/// Serves requests that other instances pass on to `gateway`, until `stop` turns true; then accepts no more and returns
/// when the requests in flight have been answered. To be stopped after [`Gateway::drain`], as
/// [`serve`](crate::serve) is: clients are told of the end this way too.
///
/// The listener belongs to a network that clients don't reach; requests without a fresh signature by the key of the
/// gateway's [`Peers`](crate::Peers) are refused nevertheless.
///
/// # Errors
/// Never for a single connection; only if the listener itself is broken.
pub async fn serve_internal(
    listener: TcpListener,
    gateway: Gateway,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let answering = gateway.clone();
    let service = service_fn(move |request| {
        let gateway = answering.clone();
        async move { Ok::<_, Infallible>(gateway.passed_on(request).await) }
    });
    server::accept(
        listener,
        Arc::new(ListenerKind::Internal),
        vec![gateway],
        service,
        stop,
    )
    .await
}

/// How long an answer may wait for what is left of its request.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The body of a request that may be answered before all of it was read. Closing a connection with unread input resets
/// it, and the other instance would lose the answer: so the rest is read, within bounds, before that is given.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Incoming>>);

impl SharedBody {
    async fn drain(mut self, max: usize) {
        let mut length = 0;
        let reading = async {
            while length <= max {
                match self.frame().await {
                    Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
                    _ => break,
                }
            }
        };
        // It was worth a try.
        drop(tokio::time::timeout(DRAIN_TIMEOUT, reading).await);
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

impl Gateway {
    /// Answers a request that another instance passes on.
    async fn passed_on(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(address) = self.verify(&request, SystemTime::now()) else {
            return self.unauthorized();
        };
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let sid = query.ok().and_then(|query| query.sid);
        let Some(sid) = sid.filter(|_| self.config().serves(request.uri().path())) else {
            return HandshakeError::UnknownSession.response();
        };
        if request.headers().contains_key(RELEASE) {
            if let Some(connection) = self.find_polling(sid) {
                connection.release_poll();
            }
            return text("ok");
        }
        let extensions = request.extensions_mut();
        extensions.insert(PeerAddress((address, 0).into()));
        extensions.insert(Tunnelled);
        let (parts, body) = request.into_parts();
        let body = SharedBody(Arc::new(Mutex::new(body)));
        let response = self.http(Request::from_parts(parts, body.clone())).await;
        body.drain(self.config().max_payload).await;
        response
    }

    /// The client for whom another instance sent `request`; `None` if none did.
    pub(crate) fn verify<B>(&self, request: &Request<B>, now: SystemTime) -> Option<IpAddr> {
        let target = request.uri().path_and_query()?.as_str();
        let key = self.peers().key();
        key.verify(request.method(), target, request.headers(), now)
    }

    pub(crate) fn unauthorized(&self) -> Response<Full<Bytes>> {
        self.0.stats().tunnel_refused();
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
    }
}
