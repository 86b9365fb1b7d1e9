//! The other instances of a fleet: where each listens for requests that belong to it, and how it is asked.
//!
//! What must stay true: an instance that is taken out, or moves, is gone. Whatever waits for it ends at once.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::RwLock;
use rand::RngExt;
use tokio::sync::watch;

use crate::{instance::InstanceId, internal_key::InternalKey};

/// A host that doesn't answer within this isn't there; instances are near each other.
const CONNECT: Duration = Duration::from_secs(3);

/// Connections to one instance that wait for their next request, and for how long: less than the other side does, so
/// that a request rarely meets a connection that is just being closed.
const MAX_IDLE: usize = 256;
const IDLE: Duration = Duration::from_secs(10);
pub(crate) const IDLE_SERVED: Duration = Duration::from_secs(30);

/// The bytes of a request that is passed on while they come.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The other instances of the fleet, by their ids, and the key that all of them share. Cloning copies a pointer.
///
/// The default has a key that nobody else knows, and no peers.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    key: InternalKey,
    known: RwLock<HashMap<InstanceId, Arc<Peer>>>,
    client: Client<HttpConnector, Body>,
}

/// Another instance.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    id: InstanceId,
    gone: watch::Sender<bool>,
    /// It was logged that it refuses our requests.
    reported: AtomicBool,
}

impl Peers {
    /// No peers yet; requests are signed with `key` (HMAC-SHA-256).
    pub fn new(key: [u8; 32]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Self(Arc::new(Inner {
            key: InternalKey::new(&key),
            known: RwLock::default(),
            client,
        }))
    }

    /// From here on the others are these, each at the address of its internal listener
    /// ([`serve_internal`](crate::serve_internal)). What is tunnelled to one that isn't among them ends at once. The
    /// own id may be among them.
    pub fn set(&self, instances: HashMap<InstanceId, SocketAddr>) {
        let mut known = self.0.known.write();
        known.retain(|id, peer| {
            let stays = instances.get(id) == Some(&peer.address);
            if !stays {
                peer.gone.send_replace(true);
            }
            stays
        });
        for (id, address) in instances {
            known
                .entry(id)
                .or_insert_with(|| Arc::new(Peer::new(id, address)));
        }
    }

    pub(crate) fn key(&self) -> &InternalKey {
        &self.0.key
    }

    pub(crate) fn get(&self, id: InstanceId) -> Option<Arc<Peer>> {
        self.0.known.read().get(&id).cloned()
    }

    /// Sends a request to the host and port in its URL.
    pub(crate) async fn ask(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        self.0.client.request(request).await
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::new(rand::rng().random())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.known.read();
        let known = known.iter().map(|(id, peer)| (id, peer.address));
        f.debug_map().entries(known).finish()
    }
}

impl Peer {
    fn new(id: InstanceId, address: SocketAddr) -> Self {
        Self {
            address,
            id,
            gone: watch::Sender::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// Turns true when the instance is taken out or moves.
    pub(crate) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.subscribe()
    }

    /// Logs, once, that it refuses our signatures: that doesn't change by itself.
    pub(crate) fn report_refusal(&self) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::error!(
                instance = %self.id,
                address = %self.address,
                "another instance refuses tunnelled requests: its key is another one, or the clocks differ"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_taken_out_or_moves_is_gone() {
        let [stays, moves, leaves] = [1, 2, 3].map(|byte| InstanceId::new([byte; 3]));
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let peers = Peers::new([1; 32]);
        peers.set([(stays, at(1)), (moves, at(2)), (leaves, at(3))].into());
        let before = [stays, moves, leaves].map(|id| peers.get(id).unwrap());
        let gone = before.each_ref().map(|peer| peer.gone());
        peers.set([(stays, at(1)), (moves, at(4))].into());
        assert_eq!(gone.map(|gone| *gone.borrow()), [false, true, true]);
        assert!(Arc::ptr_eq(&before[0], &peers.get(stays).unwrap()));
        assert_eq!(peers.get(moves).unwrap().address, at(4));
        assert!(!*peers.get(moves).unwrap().gone().borrow());
        assert!(peers.get(leaves).is_none());
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let peers = Peers::new([0x5a; 32]);
        peers.set([(InstanceId::new([1, 2, 3]), ([127, 0, 0, 1], 9).into())].into());
        assert_eq!(format!("{peers:?}"), "{010203: 127.0.0.1:9}");
    }
}
