//! A gateway that listens on a port of its own, inside the test's process.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use gateway::{BodyReader, CloseReason, Config, Gateway, Hub, serve};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    client::{polling::Polling, websocket::WebSocket},
    gateway::echo_rooms::EchoRooms,
};

/// What [`EchoRooms`] greets with.
const WELCOME: &str = r#"42["welcome",{}]"#;

/// A path whose requests are answered with the length of their bodies.
pub const BODY: &str = "/body";

async fn body_length(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let reader: BodyReader = request.extensions_mut().remove().unwrap();
    let said = match reader.read(request.into_body(), 1_000_000).await {
        Ok(body) => body.len().to_string(),
        Err(error) => error.to_string(),
    };
    Response::new(Full::from(said))
}

/// Flushers of the hub; more than one, so that a topic is spread over several.
const WORKERS: usize = 2;

pub struct TestGateway {
    pub address: SocketAddr,
    pub gateway: Gateway,
    pub hub: Hub,
    pub rooms: Arc<EchoRooms>,
    /// Dropping it stops the listener.
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl TestGateway {
    /// Starts a gateway with [`EchoRooms`] in it.
    pub async fn start(config: Config) -> Self {
        Self::start_with(config, Arc::default()).await
    }

    /// As [`start`](Self::start), with an application that others may share.
    pub async fn start_with(config: Config, rooms: Arc<EchoRooms>) -> Self {
        let hub = Hub::new(Some(WORKERS));
        let gateway = Gateway::new(config, hub.clone(), rooms.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let gateways = vec![gateway.clone()];
        let polling = gateway.clone();
        let http = service_fn(move |request: Request<Incoming>| {
            let gateway = polling.clone();
            async move {
                if request.uri().path() == BODY {
                    return Ok::<_, Infallible>(body_length(request).await);
                }
                Ok(gateway.http(request).await)
            }
        });
        let serving = tokio::spawn(async move {
            serve(listener, gateways, http, stopped)
                .await
                .expect("a listener");
        });
        Self {
            address,
            gateway,
            hub,
            rooms,
            stop,
            serving,
        }
    }

    /// A client connected to the namespace "/".
    pub async fn websocket(&self) -> WebSocket {
        self.websocket_on(TcpStream::connect(self.address).await.unwrap())
            .await
    }

    async fn websocket_on(&self, stream: TcpStream) -> WebSocket {
        let mut socket = WebSocket::open_on(stream).await;
        socket.send("40").await;
        let connected = socket.text().await;
        assert!(connected.starts_with(r#"40{"sid":"#), "{connected}");
        assert_eq!(socket.text().await, WELCOME);
        socket
    }

    /// A client whose socket takes few bytes, so that it stalls the server soon.
    pub async fn narrow_websocket(&self) -> WebSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        self.websocket_on(socket.connect(self.address).await.unwrap())
            .await
    }

    /// A polling client connected to the namespace "/".
    pub async fn polling(&self) -> Polling {
        let polling = Polling::open(self.address).await;
        polling.send("40").await;
        while polling.receive().await.last().map(String::as_str) != Some(WELCOME) {}
        polling
    }

    /// How many connections ended for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.hub
            .stats()
            .closed()
            .find_map(|(r, count)| (r == reason).then_some(count))
            .unwrap_or_default()
    }

    /// Stops listening, as a server does before it drains.
    pub async fn stop_listening(&mut self) {
        self.stop.send_replace(true);
        (&mut self.serving).await.unwrap();
    }
}
