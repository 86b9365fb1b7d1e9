//! A way to a server that can be cut, as when its process is killed, or go silent, as when its host is lost.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What happens to the bytes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Passing,
    Silent,
}

pub struct Link {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    passed: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Link {
    /// Passes every connection on to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, states) = watch::channel(State::Passing);
        let passed = Arc::new(AtomicUsize::new(0));
        let counter = passed.clone();
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(pass(stream, target, counter.clone(), states.clone()));
            }
        });
        Self {
            address,
            state,
            passed,
            running,
        }
    }

    /// How many bytes the target has been sent.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::Acquire)
    }

    /// Closes all connections and accepts no more.
    pub async fn cut(self) {
        self.running.abort();
        // It ends by being aborted.
        drop(self.running.await);
    }

    /// Leaves all connections open and moves nothing any more.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }
}

async fn pass(
    near: TcpStream,
    target: SocketAddr,
    passed: Arc<AtomicUsize>,
    mut states: watch::Receiver<State>,
) {
    let far = TcpStream::connect(target).await.unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from_near.read(&mut buffer).await?;
            if length == 0 {
                return to_far.shutdown().await;
            }
            to_far.write_all(&buffer[..length]).await?;
            passed.fetch_add(length, Ordering::AcqRel);
        }
    };
    let back = async {
        copy(&mut from_far, &mut to_near).await?;
        to_near.shutdown().await
    };
    let both = async { tokio::try_join!(there, back).map(drop) };
    let silent = async {
        drop(states.wait_for(|state| *state == State::Silent).await);
    };
    tokio::select! {
        // Whichever side broke it.
        ended = both => return drop::<io::Result<()>>(ended),
        () = silent => {}
    }
    // Both sockets stay open until the link is cut.
    std::future::pending().await
}
