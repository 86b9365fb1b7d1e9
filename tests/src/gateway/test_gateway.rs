//! A gateway that listens on a port of its own, inside the test's process.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use gateway::{Config, Gateway, Hub, serve};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use tokio::{net::TcpListener, sync::watch};

use crate::gateway::echo_rooms::EchoRooms;

/// Flushers of the hub; more than one, so that a topic is spread over several.
const WORKERS: usize = 2;

pub struct TestGateway {
    pub address: SocketAddr,
    /// Dropping it stops the listener.
    _stop: watch::Sender<bool>,
}

impl TestGateway {
    /// Starts a gateway with [`EchoRooms`] in it.
    pub async fn start(config: Config) -> Self {
        let hub = Hub::new(Some(WORKERS));
        let gateway = Gateway::new(config, hub, Arc::new(EchoRooms::default()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let gateways = vec![gateway.clone()];
        let polling = gateway.clone();
        let http = service_fn(move |request: Request<Incoming>| {
            let gateway = polling.clone();
            async move { Ok::<_, Infallible>(gateway.http(request).await) }
        });
        tokio::spawn(async move {
            serve(listener, gateways, http, stopped)
                .await
                .expect("a listener");
        });
        Self {
            address,
            _stop: stop,
        }
    }
}
