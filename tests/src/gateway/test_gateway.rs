//! A gateway that listens on a port of its own, inside the test's process.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use gateway::{CloseReason, Config, Gateway, Hub, serve};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::gateway::echo_rooms::EchoRooms;

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
        let hub = Hub::new(Some(WORKERS));
        let rooms = Arc::new(EchoRooms::default());
        let gateway = Gateway::new(config, hub.clone(), rooms.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let gateways = vec![gateway.clone()];
        let polling = gateway.clone();
        let http = service_fn(move |request: Request<Incoming>| {
            let gateway = polling.clone();
            async move { Ok::<_, Infallible>(gateway.http(request).await) }
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
