//! A reverse proxy that sends every request to the next server, whatever connection or session it belongs to, and
//! upgrades never to the one that the session belongs to: as unlike sticky sessions as can be.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use gateway::InstanceId;
use http::{HeaderValue, Request, Response, StatusCode, header::UPGRADE};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{body::Incoming, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::fleet::Instance;

type Body = BoxBody<Bytes, hyper::Error>;

pub struct RoundRobin {
    pub address: SocketAddr,
    running: JoinHandle<()>,
}

struct Servers {
    all: Vec<(InstanceId, SocketAddr)>,
    turn: AtomicUsize,
}

impl Servers {
    fn next(&self) -> (InstanceId, SocketAddr) {
        self.all[self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len()]
    }

    fn next_for(&self, request: &Request<Incoming>) -> SocketAddr {
        let next = self.next();
        if request.headers().contains_key(UPGRADE) && owner(request) == Some(next.0) {
            return self.next().1;
        }
        next.1
    }
}

/// Whose the session is: the first bytes of its sid.
fn owner(request: &Request<Incoming>) -> Option<InstanceId> {
    let (_, sid) = request.uri().query()?.split_once("&sid=")?;
    let id = BASE64_URL_SAFE_NO_PAD.decode(sid.get(..4)?).ok()?;
    Some(InstanceId::new(id.try_into().ok()?))
}

impl RoundRobin {
    /// A proxy before `instances`, which tells them where clients are.
    pub async fn start(instances: &[Instance]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let servers = Arc::new(Servers {
            all: instances.iter().map(|i| (i.id(), i.address)).collect(),
            turn: AtomicUsize::new(0),
        });
        let running = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let servers = servers.clone();
                let service = service_fn(move |request| {
                    let server = servers.next_for(&request);
                    async move { Ok::<_, Infallible>(pass_on(request, server, peer.ip()).await) }
                });
                tokio::spawn(async move {
                    let serving = server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    // Clients break connections off as they please.
                    drop(serving.await);
                });
            }
        });
        Self { address, running }
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn pass_on(request: Request<Incoming>, server: SocketAddr, client: IpAddr) -> Response<Body> {
    let exchange = exchange(request, server, client).await;
    exchange.unwrap_or_else(|_| {
        let body = Empty::new().map_err(|never| match never {}).boxed();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

async fn exchange(
    mut request: Request<Incoming>,
    server: SocketAddr,
    client: IpAddr,
) -> Result<Response<Body>, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange, or with the upgraded streams.
    tokio::spawn(connection.with_upgrades());
    let near = hyper::upgrade::on(&mut request);
    let client = HeaderValue::from_str(&client.to_string())?;
    request.headers_mut().append("x-forwarded-for", client);
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let far = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(near), Ok(far)) = (near.await, far.await) {
                let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                // Whichever side broke it.
                drop(copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
    Ok(response.map(BodyExt::boxed))
}
