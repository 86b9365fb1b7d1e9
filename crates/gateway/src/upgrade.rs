//! What follows an opening handshake: a new connection, or the upgrade of a polling one.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use tokio::net::TcpStream;

use crate::{
    close::CloseReason,
    connection::Connection,
    decoder::{Decoder, Flow, Message},
    frame::Frame,
    gateway::{Gateway, tunnel::Tunnel},
    handshake_error::HandshakeError,
    websocket,
};

/// What an accepted WebSocket handshake is for.
pub(crate) enum Target {
    New,
    Polling(Upgrading),
    /// A connection that is a WebSocket already, or is becoming one: only the new socket closes.
    Taken,
    /// Another instance's connection, which that has accepted.
    Elsewhere(Tunnel),
}

/// The one upgrade of a polling connection that may be under way. However it fails, by this being dropped, the client
/// goes on polling.
pub(crate) struct Upgrading(Arc<Connection>);

impl Upgrading {
    /// `None` if another one is under way.
    pub(crate) fn begin(connection: Arc<Connection>) -> Option<Self> {
        let taken = connection.upgrading.swap(true, Ordering::AcqRel);
        // Not `then_some`: the other one's drop would end the upgrade that is under way.
        (!taken).then(|| Self(connection))
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.0.probed.store(false, Ordering::Release);
        self.0.upgrading.store(false, Ordering::Release);
    }
}

/// Goes on with a socket whose request has been accepted; `response` has yet to be written, and `received` came
/// behind the request.
pub(crate) fn start(
    gateway: &Gateway,
    target: Target,
    stream: TcpStream,
    address: IpAddr,
    response: &[u8],
    received: &[u8],
) {
    let mut decoder = Decoder::holding(received);
    match target {
        Target::New => gateway.open_websocket(stream, address, response, decoder),
        Target::Elsewhere(tunnel) => tunnel.start(stream, response, received),
        Target::Taken => {
            let close = Frame::close(CloseReason::Protocol);
            let bytes = [response, close.wire()].concat();
            let stats = gateway.0.stats();
            stats.connection_refused(HandshakeError::AlreadyUpgraded);
            // The socket closes with or without it.
            drop(stream.try_write(&bytes));
        }
        Target::Polling(upgrading) => {
            let response = response.to_vec();
            tokio::spawn(async move {
                let connection = &upgrading.0;
                let timeout = connection.context().config.handshake_timeout;
                let probing = probe(connection, &stream, &response, &mut decoder);
                if matches!(tokio::time::timeout(timeout, probing).await, Ok(Some(())))
                    && connection.upgrade(stream)
                {
                    websocket::Task::spawn(connection.clone(), decoder);
                }
            });
        }
    }
}

/// The client asks "2probe", is answered "3probe", lets its poll end and says "5". What it sent behind that is left
/// in the decoder. `None` if it does anything else.
async fn probe(
    connection: &Connection,
    stream: &TcpStream,
    response: &[u8],
    decoder: &mut Decoder,
) -> Option<()> {
    write(stream, response).await?;
    expect(stream, decoder, "2probe").await?;
    write(stream, Frame::engine_text("3probe").wire()).await?;
    connection.probed.store(true, Ordering::Release);
    connection.outbox().wake_poll();
    expect(stream, decoder, "5").await
}

/// Reads until the next message, which has to be `packet`.
async fn expect(stream: &TcpStream, decoder: &mut Decoder, packet: &str) -> Option<()> {
    /// Neither packet is longer; what follows them isn't looked at here.
    const MAX_MESSAGE: usize = 6;
    let mut buffer = [0; 1024];
    let mut length = 0;
    loop {
        let mut found = None;
        decoder
            .feed(&mut buffer[..length], MAX_MESSAGE, |message| {
                found = Some(matches!(message, Message::Text(text) if *text == *packet));
                Flow::Pause
            })
            .ok()?;
        if let Some(expected) = found {
            return expected.then_some(());
        }
        stream.readable().await.ok()?;
        length = match stream.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => length,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => return None,
        };
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        stream.writable().await.ok()?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(())
}
