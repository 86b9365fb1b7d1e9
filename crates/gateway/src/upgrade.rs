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
    gateway::Gateway,
    websocket,
};

/// What an accepted WebSocket handshake is for.
pub(crate) enum Target {
    New,
    /// The polling connection that asks to be upgraded.
    Polling(Arc<Connection>),
    /// A connection that is a WebSocket already, or is becoming one: only the newcomer closes.
    Taken,
}

/// Goes on with a socket whose request has been accepted; `response` has yet to be written, and `received` came
/// behind the request.
pub(crate) fn start(
    gateway: &Gateway,
    target: Target,
    stream: TcpStream,
    address: IpAddr,
    response: &[u8],
    received: &mut Vec<u8>,
) {
    match target {
        Target::New => gateway.open_websocket(stream, address, response, received),
        Target::Taken => {
            let reason = CloseReason::Protocol;
            let bytes = [response, reason.frame().wire()].concat();
            gateway.0.stats().connection_refused();
            // The socket closes with or without it.
            drop(stream.try_write(&bytes));
        }
        Target::Polling(connection) => {
            let response = response.to_vec();
            let mut received = std::mem::take(received);
            tokio::spawn(async move {
                let timeout = connection.gateway().config.handshake_timeout;
                let probing = probe(&connection, &stream, &response, &mut received);
                // However it fails, the client goes on polling.
                if matches!(tokio::time::timeout(timeout, probing).await, Ok(Some(())))
                    && connection.upgrade(stream)
                {
                    websocket::Task::spawn(connection, &mut received);
                } else {
                    connection.upgrading.store(false, Ordering::Release);
                }
            });
        }
    }
}

/// The client asks "2probe", is answered "3probe", lets its poll end and says "5". What it sent behind that is left
/// in `received`. `None` if it does anything else.
async fn probe(
    connection: &Connection,
    stream: &TcpStream,
    response: &[u8],
    received: &mut Vec<u8>,
) -> Option<()> {
    write(stream, response).await?;
    expect(stream, received, "2probe").await?;
    write(stream, Frame::engine_text("3probe").wire()).await?;
    connection.outbox().wake_poll();
    expect(stream, received, "5").await
}

/// Reads until the next message, which has to be `packet`.
async fn expect(stream: &TcpStream, received: &mut Vec<u8>, packet: &str) -> Option<()> {
    /// More than two probe packets with all that a client can send behind them in one flight.
    const MAX_READ_AHEAD: usize = 64 * 1024;
    loop {
        let mut found = None;
        let mut decoder = Decoder::default();
        let mut bytes = received.clone();
        let decoded = decoder.feed(&mut bytes, MAX_READ_AHEAD, |message| {
            found = Some(matches!(message, Message::Text(text) if *text == *packet));
            Flow::Pause
        });
        if decoded.is_err() || received.len() > MAX_READ_AHEAD {
            return None;
        }
        if let Some(expected) = found {
            let rest = decoder.pending_len();
            received.drain(..received.len() - rest);
            return expected.then_some(());
        }
        stream.readable().await.ok()?;
        let mut buffer = [0; 1024];
        match stream.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
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
