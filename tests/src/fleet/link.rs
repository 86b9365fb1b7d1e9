//! A link to a service that can be cut: by ending its connections and refusing more, or by silence.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Ended,
    Silent,
}

/// Dropping it ends it.
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A whole one.
    pub async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (state, told) = watch::channel(State::Whole);
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(near, service, told.clone()));
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    /// Where it is entered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, or keeps it and lets nothing through.
    pub fn cut(&self, silent: bool) {
        self.state
            .send_replace(if silent { State::Silent } else { State::Ended });
    }

    /// Lets new connections through; those that were silent stay so until they are given up.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut near: TcpStream, service: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Whole
        && let Ok(mut far) = TcpStream::connect(service).await
    {
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            _ = state.wait_for(|state| *state != State::Whole) => {}
        }
    }
    if *state.borrow() == State::Silent {
        swallow(near).await;
    }
}

/// Reads on and never answers, until the other side gives up.
async fn swallow(mut near: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = near.read(&mut buffer).await {}
    drop(near.shutdown().await);
}
