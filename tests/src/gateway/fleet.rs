//! Several gateways that pass requests on to each other, in the test's process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    sync::Arc,
};

use gateway::{Config, InstanceId, Peers, serve_internal};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{echo_rooms::EchoRooms, link::Link, test_gateway::TestGateway};

/// What all of a fleet share, and a test that pretends to be of it.
pub const KEY: [u8; 32] = *b"a key of thirty-two bytes, shown";

/// One instance, with its internal listener.
pub struct Instance {
    gateway: TestGateway,
    pub internal: SocketAddr,
    /// Dropping it stops the listener.
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Deref for Instance {
    type Target = TestGateway;

    fn deref(&self) -> &TestGateway {
        &self.gateway
    }
}

impl Instance {
    /// An instance that knows no other.
    pub async fn start(config: Config, rooms: Arc<EchoRooms>) -> Self {
        let config = Config {
            instance: InstanceId::random(),
            peers: Peers::new(KEY),
            ..config
        };
        let gateway = TestGateway::start_with(config, rooms).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let internal = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = gateway.gateway.clone();
        let serving = tokio::spawn(async move {
            serve_internal(listener, served, stopped)
                .await
                .expect("a listener");
        });
        Self {
            gateway,
            internal,
            stop,
            serving,
        }
    }

    pub fn id(&self) -> InstanceId {
        self.gateway.gateway.instance()
    }

    /// From here on `others`, and nobody else, are its peers.
    pub fn knows(&self, others: &[(InstanceId, SocketAddr)]) {
        let peers = others.iter().copied().collect();
        self.gateway.gateway.peers().set(peers);
    }

    /// Stops both listeners, as a server does after it has drained.
    pub async fn stop_listening(&mut self) {
        self.gateway.stop_listening().await;
        self.stop.send_replace(true);
        (&mut self.serving).await.unwrap();
    }
}

/// Instances of one application that all know each other.
pub async fn fleet<const COUNT: usize>(config: Config) -> [Instance; COUNT] {
    let rooms = Arc::new(EchoRooms::default());
    let mut instances = Vec::new();
    for _ in 0..COUNT {
        instances.push(Instance::start(config.clone(), rooms.clone()).await);
    }
    let all: Vec<_> = instances.iter().map(|i| (i.id(), i.internal)).collect();
    for instance in &instances {
        instance.knows(&all);
    }
    instances.try_into().ok().expect("as many as asked for")
}

/// Makes `others` reach `owner` by a link that can be cut.
pub async fn linked(owner: &Instance, others: &[&Instance]) -> Link {
    let link = Link::to(owner.internal).await;
    for other in others {
        other.knows(&[(owner.id(), link.address)]);
    }
    link
}
