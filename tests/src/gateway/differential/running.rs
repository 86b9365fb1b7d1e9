//! A server of the comparison, on a thread of its own.
//!
//! The reference handles each event in a task of its own, and connects namespaces in one. On a single thread those run in
//! the order in which they were spawned, and before anything is read that comes later; that makes its answers
//! comparable.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
};

use tokio::{net::TcpListener, sync::oneshot};

pub struct Running {
    pub address: SocketAddr,
    /// Dropping it stops the server.
    _stop: oneshot::Sender<()>,
}

impl Running {
    /// Starts what serves a listener.
    pub async fn start<F: Future<Output = ()>>(
        serve: impl FnOnce(TcpListener) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (listening, address) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                listening.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: address.await.unwrap(),
            _stop: stop,
        }
    }
}
